"""Imported by the fork server when a sweep begins: its last slot may start days later, after edits of the files."""

# the first optimizer imports it, and with it sympy: seconds that each slot would take again
import torch._dynamo  # noqa: F401

from mixexp.plan.groups import import_options
from mixexp.sweeping import worker  # noqa: F401  what a slot runs

import_options()
