"""Checks a folder of images before training."""
