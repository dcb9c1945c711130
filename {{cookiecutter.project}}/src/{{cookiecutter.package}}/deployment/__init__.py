"""Prediction with a checkpoint."""
