"""How labels are coded inside tensors."""

IGNORE = -1
"""The label of pixels that count nowhere, inside tensors and for any number of classes.

Files use 255 (or what their class table says); readers translate once, right after decoding.
"""
