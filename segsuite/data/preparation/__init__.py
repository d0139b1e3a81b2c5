"""Official archives become masks that a reader can open one by one; for `scripts/prepare_*.py`."""
