"""Efficient semantic segmentation, measured honestly. Importing it imports nothing heavy."""

__version__ = "2026.11.0"
