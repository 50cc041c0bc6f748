"""Imported by the fork server when a sweep begins: its last slot may start days later, after edits of the files."""

import torch._dynamo  # noqa: F401  # the first optimizer imports it, and with it sympy: seconds, that each slot would take again

from mixexp.plan.groups import import_options
from mixexp.sweeping import worker  # noqa: F401

import_options()
