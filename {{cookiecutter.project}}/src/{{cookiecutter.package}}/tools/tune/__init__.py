"""Hyperparameter search: the search space, the study, its trials and the result."""
