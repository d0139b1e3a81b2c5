"""HyCTAS: networks of convolutions and attention, found by search (Yu et al., 2024)."""
