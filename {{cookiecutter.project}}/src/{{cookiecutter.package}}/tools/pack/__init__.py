"""Packs a folder of images for streaming."""
