"""What an experiment's file says beside its runs' settings: the grid, the table, the claims and the editions."""
