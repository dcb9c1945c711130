"""What fit needs and you rarely open: decoding, splits, batches, checkpoints, resume, results."""
