"""Train, compare, ship and keep improving an image classifier."""

__version__ = "0.1.0"
