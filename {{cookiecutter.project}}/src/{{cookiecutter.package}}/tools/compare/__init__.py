"""Comparison of runs: accuracy, significance of differences, and cost."""
