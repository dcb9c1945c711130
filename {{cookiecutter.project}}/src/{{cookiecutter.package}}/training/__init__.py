"""Callbacks, run directory and tracking of a training."""
