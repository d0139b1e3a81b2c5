"""One seed for everything, and streams that depend on nothing but what they are for."""

import random
from typing import Any

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


def capture() -> dict[str, Any]:
    """The states of all generators, as plain types and tensors."""
    state: Any = np.random.get_state()
    name, keys, *rest = state
    version, numbers, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [name, keys.tolist(), *rest],
        "python": [version, list(numbers), gauss],
    }


def restore(states: dict[str, Any]) -> None:
    """Sets all generators to states that `capture` gave."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
