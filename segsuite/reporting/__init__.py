"""One page over many runs: what they cost, what they reach, and how they differ; W&B's too."""
