"""The verb export: a trained model as files that run without this project."""
