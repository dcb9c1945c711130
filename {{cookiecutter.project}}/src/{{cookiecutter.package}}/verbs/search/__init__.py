"""Searching for a better recipe: the space, the study, its trials, and what came of it."""
