"""Imported by the fork server when a sweep begins: its last slot may start days later, after edits of the files."""

from mixexp.eager import spare_compiler
from mixexp.plan.groups import import_options
from mixexp.sweeping import worker  # noqa: F401  what a slot runs

import_options()
spare_compiler()
