"""The verb export: a trained model as files that run without this project, proven to answer as the checkpoint does."""
