"""Which network fits a budget on this machine, and which of those to train."""
