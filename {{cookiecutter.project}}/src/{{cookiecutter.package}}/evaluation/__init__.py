"""Evaluation of trained models: results, reports and comparisons."""
