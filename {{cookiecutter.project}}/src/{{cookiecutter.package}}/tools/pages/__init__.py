"""Shared parts of all HTML pages: style, number formats, pictures and diagrams."""
