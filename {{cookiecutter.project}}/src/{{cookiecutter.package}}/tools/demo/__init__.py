"""A page on this machine that classifies an image."""
