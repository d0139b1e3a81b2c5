"""Trained networks answering: whole images, windows, files, videos."""
