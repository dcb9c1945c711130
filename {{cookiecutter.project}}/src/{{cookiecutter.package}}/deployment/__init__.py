"""The checkpoint, used."""
