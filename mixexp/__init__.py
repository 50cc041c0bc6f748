"""Experiment runner for mixup-family augmentation and class-imbalance losses."""
