"""The sub-commands of `mixexp`: a module for each of the groups that `mixexp --help` shows."""
