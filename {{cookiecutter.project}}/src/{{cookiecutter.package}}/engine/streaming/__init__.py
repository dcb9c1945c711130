"""Packed data sets: images in chunks of many megabytes, on a disk or in an object store."""
