"""Finished runs put to use: their trained networks as plain modules, predictions on files, and exports."""
