"""One file or folder a verb; each can be deleted."""
