"""One seed for everything, and streams that depend on nothing but what they are for."""

import random

import numpy as np
import torch

from segsuite.core.errors import ConfigError
from segsuite.core.hints import fits


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch on every device.

    Raises:
        ConfigError: `seed` is not a whole number, or too long for torch.
    """
    if not fits(seed, int):
        raise ConfigError(f"seed={seed} is not a whole number of at most 64 bits; type seed=0")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def stream(*key: int) -> torch.Generator:
    """A torch generator that depends on `key` alone, such as (seed, draw number).

    Augmentation draws from such streams: a sample is then the same whatever worker makes it and
    however often the run was interrupted.
    """
    state = np.random.SeedSequence([k % 2**63 for k in key]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) % 2**63)
