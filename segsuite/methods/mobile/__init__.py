"""ShuffleNet V2 with DeepLab and DPC heads for phones and CPUs (Turkmen and Heikkila, 2019)."""
