"""Numbers about a trained model, and how to read them."""
