"""Checks machine, settings and data before a training."""
