"""What is looked at before training: every file, every class, and how often it occurs."""
