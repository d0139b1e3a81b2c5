"""What `probe=` compares: whole networks, losses, memory of training; their tables and plots."""
