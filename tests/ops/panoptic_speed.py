"""What post-processing costs beside loops over the same maps, equal in every pixel.

    python -m tests.ops.panoptic_speed 1024 2048      # of Cityscapes; the loop takes minutes

Random maps of 19 classes, 10 of them things, and 200 centres; one thread, CPU times.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from segsuite.measure.machine import machine, shown
from segsuite.ops.centre_list import centre_list
from segsuite.ops.panoptic_grouping import panoptic_maps
from tests.reference.panoptic_loops import centres_by_loops, maps_by_loops

THINGS, CENTRES, ROUNDS = frozenset(range(9, 19)), 200, 3


def compare(size: tuple[int, int]) -> tuple[float, float]:
    """Seconds of an image: the median of ours, and of the loop once."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 19, (size[0] // 16, size[1] // 16))
    labels = coarse.repeat(16, 0).repeat(16, 1)
    offsets = (random.normal(size=(2, *size)) * 50).astype(np.float32)
    heat, probabilities = random.random((2, *size)).astype(np.float32)
    asked = {"things": THINGS, "stuff_area": 64}
    given = [torch.from_numpy(each)[None] for each in (labels, offsets)]
    centres = centre_list(
        torch.from_numpy(heat)[None, None], threshold=0.1, kernel=7, count=CENTRES
    )
    certain = torch.from_numpy(probabilities)[None]
    times = []
    for _ in range(ROUNDS):
        found, taken = _timed(
            lambda: panoptic_maps(*given, *centres, probabilities=certain, **asked)
        )
        times.append(taken)
    peaks = centres_by_loops(heat, threshold=0.1, kernel=7, count=CENTRES)
    expected, by_loop = _timed(
        lambda: maps_by_loops(labels, offsets, peaks, probabilities=probabilities, **asked)
    )
    assert len(peaks) == CENTRES
    for ours, loops in zip((found.labels, found.instances), expected[:2], strict=True):
        assert (ours[0].numpy() == loops).all()
    return float(np.median(times)), by_loop


def _timed(work: Callable[[], object]) -> tuple[object, float]:
    begun = time.process_time()
    made = work()
    return made, time.process_time() - begun


if __name__ == "__main__":
    torch.set_num_threads(1)
    height, width = map(int, sys.argv[1:])
    ours, loop = compare((height, width))
    print(f"{height}x{width}: {ours:.3g} s, the loop {loop:.3g} s, {loop / ours:.0f} times as long")
    print(shown(machine(torch.device("cpu"))))
