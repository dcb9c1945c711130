"""Predicts with a checkpoint."""
