"""Tiny data sets on disk, in the exact layouts of the real ones."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Facts, Sample


def write_image(path: Path, size: Size = (12, 16), seed: int = 0) -> np.ndarray:
    """The (H, W, 3) noise written to `path`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def write_mask(path: Path, raw: Any) -> np.ndarray:
    """The raw ids written to `path`, in their own data type."""
    raw = np.asarray(raw)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(raw).save(path)
    return raw


def mask_of(ids: list[int], size: Size = (12, 16), dtype: Any = np.uint8) -> np.ndarray:
    """Upright stripes of the ids."""
    return np.array(ids, dtype)[np.arange(size[1]) * len(ids) // size[1]][None].repeat(size[0], 0)


def camvid(root: Path, train: int = 3, val: int = 2) -> Path:
    """CamVid as the SegNet tutorial has it, some images as .jpg."""
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            suffix = ".jpg" if number % 2 else ".png"
            write_image(root / split / f"0001TP_{number:06}{suffix}", seed=number)
            write_mask(root / f"{split}annot" / f"0001TP_{number:06}.png", mask_of([0, 3, 8, 11]))
    return root


class Listed:
    """Samples from a list, for what needs no files."""

    def __init__(self, samples: list[Sample]) -> None:
        self.key, self.gaps = "listed", ()
        self._samples = samples
        self.ids = [sample.id for sample in samples]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return ()

    def inspect(self, index: int) -> Facts:
        label = self._samples[index].label
        ids, counts = label.unique(return_counts=True)
        return Facts(
            tuple(label.shape),
            tuple(label.shape),
            dict(zip(ids.tolist(), counts.tolist(), strict=True)),
        )

    def only(self, indices: Any) -> "Listed":
        return Listed([self._samples[i] for i in indices])


class ListedReader:
    """A reader of made-up samples, in two sizes."""

    def __init__(self, *, length: int) -> None:
        self.own_classes = ClassTable.load("camvid11")
        self._length = length

    def open(self, split: str, **_: Any) -> Listed:
        sizes = [(20, 30) if n % 2 else (24, 18) for n in range(self._length)]
        return Listed([sample(size, n) for n, size in enumerate(sizes)])


def sample(size: Size, number: int = 0) -> Sample:
    """A sample of noise with 11 classes and some ignored pixels."""
    generator = torch.Generator().manual_seed(number)
    return Sample(
        id=f"sample_{number}",
        image=torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8),
        label=torch.randint(-1, 11, size, generator=generator, dtype=torch.int16),
    )
