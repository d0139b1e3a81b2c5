"""A small network, task and data set that keep every promise of the contract; for tests."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, Sampler

from segsuite.core.labels import IGNORE
from segsuite.core.seeding import stream
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.engine.task import SegmentationTask
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.segmenter import Segmenter


class ToySegmenter(Segmenter):
    """Two convolutions with dropout at stride 4."""

    size_divisor = 8

    def __init__(self, *, num_classes: int, width: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.GroupNorm(1, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(width, num_classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images.float() / 255)
        return self.head(self.dropout(F.relu(self.norm(x))))

    def predict(self, images: Tensor) -> GridPrediction:
        return GridPrediction(self(images).softmax(dim=1))


class ToyLoss(nn.Module):
    """Cross-entropy at full size."""

    def forward(self, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        scores = F.interpolate(scores, labels.shape[-2:], mode="bilinear")
        return {"ce": F.cross_entropy(scores, labels, ignore_index=IGNORE)}


class ToyTask(SegmentationTask):
    """$TOY_SIGNAL=13:9 sends this process signal 9 in its iteration 13."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        when, _, signal = os.environ.get("TOY_SIGNAL", "-1:0").partition(":")
        if self.trainer.global_step == int(when):
            os.kill(os.getpid(), int(signal))
        return super().losses(batch)


def toy_classes(count: int) -> ClassTable:
    """Classes without a meaning."""
    colors = np.random.default_rng(0).integers(0, 256, (count, 3)).astype(np.uint8)
    names = tuple(f"class {number}" for number in range(count))
    return ClassTable(names=names, colors=colors, ids=tuple(range(count)))


class Stripes(Dataset):
    """Images of coloured stripes; number and draw say which."""

    def __init__(self, *, seed: int, count: int, size: tuple[int, int], classes: int) -> None:
        self.seed, self.count, self.size, self.classes = seed, count, size, classes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: int) -> dict[str, Any]:
        random = stream(self.seed, draw)
        height, width = self.size
        bands = torch.randint(0, self.classes, (8,), generator=random)
        label = bands.repeat_interleave(-(-height // 8))[:height, None].expand(height, width)
        noise = torch.randint(0, 40, (3, height, width), generator=random)
        shade = torch.stack([label * 9, label * 7 % 200, 200 - label * 8])
        image = (shade + noise).clamp(0, 255).to(torch.uint8)
        label = label.clone()
        label[:2] = IGNORE
        return {"image": image, "label": label, "id": f"stripes_{draw}"}


class Endless(Sampler):
    """Batches of draw numbers without end, from a given batch on."""

    def __init__(self, *, first: int, batch_size: int, rank: int, world: int) -> None:
        self.first, self.batch_size, self.rank, self.world = first, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.first
        while True:
            start = (batch * self.world + self.rank) * self.batch_size
            yield list(range(start, start + self.batch_size))
            batch += 1


class ToyData(LightningDataModule):
    """Stripes; validation images are of two sizes, and unevenly spread over processes."""

    def __init__(
        self,
        *,
        num_classes: int = 5,
        crop_size: list[int],
        batch_size: int = 2,
        num_workers: int = 0,
        seed: int = 0,
        val_images: int = 5,
        root: str = "none",
    ) -> None:
        super().__init__()
        self.classes = toy_classes(num_classes)
        self.crop_size, self.batch_size = (crop_size[0], crop_size[1]), batch_size
        self.num_workers, self.seed, self.val_images = num_workers, seed, val_images

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        sampler = Endless(
            first=trainer.global_step * trainer.accumulate_grad_batches,
            batch_size=self.batch_size,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        images = self._stripes(seed=self.seed, count=10**9)
        return self._loader(images, batch_sampler=sampler)

    def val_dataloader(self) -> DataLoader:
        trainer = self.trainer
        chosen = list(range(trainer.global_rank, self.val_images, trainer.world_size))
        batches = [chosen[i : i + 2] for i in range(0, len(chosen), 2)]
        images = self._stripes(seed=self.seed + 1, count=self.val_images)
        return self._loader(images, batch_sampler=batches, collate_fn=as_lists)

    test_dataloader = val_dataloader

    def _stripes(self, *, seed: int, count: int) -> Stripes:
        classes = len(self.classes.names)
        return Stripes(seed=seed, count=count, size=self.crop_size, classes=classes)

    def _loader(self, images: Stripes, **options: Any) -> DataLoader:
        return DataLoader(
            images, num_workers=self.num_workers, generator=torch.Generator(), **options
        )


def as_lists(samples: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """An evaluation batch: lists, since images may differ in size."""
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def breaks_after(optimizer: Optimizer, *, max_steps: int) -> LambdaLR:
    """Five iterations at an ordinary rate, then one at a rate that leaves no weight in range."""
    return LambdaLR(optimizer, lambda step: 1.0 if step < 5 else 1e35)
