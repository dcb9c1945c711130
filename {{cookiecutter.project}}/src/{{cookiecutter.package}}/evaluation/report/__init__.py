"""A run as a page: what came out, why one may believe it, and where it is wrong."""
