"""Runs side by side: which is better, is the difference real, and what did it cost."""
