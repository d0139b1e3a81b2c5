"""Made-up frames in Cityscapes' layout: ignored pixels, instances, groups, and absent classes."""

from pathlib import Path

import numpy as np

from tests.data.layouts import write_image, write_mask

EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
IGNORED = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
THINGS = (24, 25, 26, 27, 28, 29, 30, 31, 32, 33)
ABSENT = (12, 27, 31)
"""A class of each kind that no frame has; the last not even in predictions."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def frame(seed: int, size: tuple[int, int] = (24, 40), *, void: bool = False) -> Arrays:
    """Predicted ids, label ids and instance ids, (H, W) each.

    Args:
        void: some predictions are 0, which is no class.
    """
    random = np.random.default_rng(seed)
    ids = [i for i in (*EVALUATED, *IGNORED, *THINGS) if i not in ABSENT]
    blocks = random.choice(ids, (size[0] // 4, size[1] // 4))
    numbers = random.integers(0, 3, blocks.shape)
    single = np.isin(blocks, THINGS) & (random.random(blocks.shape) < 0.8)  # others are groups
    label, instance = blocks, np.where(single, blocks * 1000 + numbers, blocks)
    label, instance = (np.kron(a, np.ones((4, 4), int)) for a in (label, instance))
    answers = [i for i in EVALUATED if i != ABSENT[-1]]
    guess = np.where(
        (random.random(size) < 0.6) & np.isin(label, answers), label, random.choice(answers, size)
    )
    if void:
        guess[random.random(size) < 0.1] = 0
    # Annotators' polygons and the two maps drawn from them need not agree to the pixel.
    instance[0, :5] = [26_001, 26_001, 26_001, 24_000, 1000]
    return guess.astype(np.uint8), label.astype(np.uint8), instance.astype(np.uint16)


def write_frames(root: Path, split: str, count: int, *, seed: int = 0) -> list[Path]:
    """The label files written, with images and instances beside."""
    paths = []
    for number in range(count):
        city = ("ulm", "bad-honnef")[number % 2]
        name = f"{split}/{city}/{city}_000000_{number:06}"
        _, label, instance = frame(seed + number)
        write_image(root / f"leftImg8bit/{name}_leftImg8bit.png", label.shape, seed=number)
        paths.append(root / f"gtFine/{name}_gtFine_labelIds.png")
        write_mask(paths[-1], label)
        write_mask(root / f"gtFine/{name}_gtFine_instanceIds.png", instance)
    return paths
