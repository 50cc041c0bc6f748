"""The parts of an experiment's file besides its runs' settings: the grid, the table, the claims and the editions."""
