"""The parts of an experiment's file beside its runs' settings: the grid, the table, the claims and the editions."""
