"""Efficient semantic segmentation, measured honestly. Importing it imports nothing heavy."""

__version__ = "0.1.0"
