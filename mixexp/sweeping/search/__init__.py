"""The search: Optuna draws runs from a space of settings."""
