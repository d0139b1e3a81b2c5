"""Reports of finished runs: pages, and dashboards of Weights & Biases."""
