"""Random panoptic maps and predictions, small and full of ties."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = 6
THINGS = frozenset({3, 4, 5})


@dataclass(frozen=True)
class Case:
    """One image: (H, W) each, offsets (2, H, W); centres [(y, x, heat)]."""

    labels: NDArray[np.int64]
    instances: NDArray[np.int32]
    offsets: NDArray[np.float32]
    heat: NDArray[np.float32]
    probabilities: NDArray[np.float32]


def case(seed: int) -> Case:
    """Blocks of classes, ids that cross them, offsets and heat in few steps, so that many tie."""
    random = np.random.default_rng(seed)
    height, width = (int(n) for n in random.integers(3, 26, 2))
    size = (height, width)
    step = int(random.integers(1, 6))
    rows, columns = -(-height // step), -(-width // step)

    def blocks(low: int, high: int) -> NDArray[np.int64]:
        coarse = random.integers(low, high, (rows, columns))
        return coarse.repeat(step, 0).repeat(step, 1)[:height, :width]

    labels = blocks(-1, CLASSES)
    noise = random.random(size) < 0.1
    labels = np.where(noise, random.integers(-1, CLASSES, size), labels)
    if seed % 3:
        offsets = random.integers(-12, 13, (2, *size)) / 2
    else:
        offsets = random.normal(0, 5, (2, *size))
    if seed % 10 == 0:  # a network that has gone astray
        strange = np.array([np.nan, np.inf, -np.inf, 1e30, -3e9])
        offsets.flat[::7] = strange[np.arange(offsets.size)[::7] % 5]
    heat = random.integers(0, 13, size) / 8 if seed % 2 else random.random(size) * 1.2
    if seed % 20 == 1:
        heat = heat * 0
    return Case(
        labels=labels,
        instances=(blocks(0, 7) * 1_000_003).astype(np.int32),
        offsets=offsets.astype(np.float32),
        heat=heat.astype(np.float32),
        probabilities=random.random(size).astype(np.float32),
    )
