"""Samples to batches: stacked for training, lists for evaluation."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from segsuite.core.errors import DataError
from segsuite.core.hardware import free_memory
from segsuite.core.seeding import stream
from segsuite.data.samplers import AUGMENTATION, Draw
from segsuite.data.samples import Batch, Facts, Sample, Samples

log = logging.getLogger(__name__)

TrainTransform = Callable[[Sample, torch.Generator], Sample]
EvalTransform = Callable[[Tensor], Tensor]


class TrainingSet(Dataset[Sample]):
    """Transformed samples by draw; the same draw gives the same sample in every worker and run."""

    def __init__(self, samples: Samples, transform: TrainTransform, seed: int) -> None:
        self._samples, self._transform, self._seed = samples, transform, seed

    def __getitem__(self, draw: Draw) -> Sample:
        index, number = draw
        return self._transform(self._samples[index], stream(self._seed, AUGMENTATION, number))


class EvaluationSet(Dataset[Sample]):
    """Samples whose image is as the network is to see it and whose label is as it was stored."""

    def __init__(self, samples: Samples, transform: EvalTransform) -> None:
        self._samples, self._transform = samples, transform

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples[index]
        return replace(sample, image=self._transform(sample.image), label=sample.label.long())


def stacked(samples: Sequence[Sample]) -> Batch:
    """A training batch: images (B, 3, H, W) uint8, labels (B, H, W) int64."""
    batch = _batch(samples, torch.stack)
    batch["label"] = batch["label"].long()  # not of each, which takes twice the time
    return batch


def listed(samples: Sequence[Sample]) -> Batch:
    """An evaluation batch: lists, since images differ in size."""
    return _batch(samples, list)


def _batch(samples: Sequence[Sample], joined: Callable[[list[Any]], Any]) -> Batch:
    parts = ("image", "label", *(("instances",) if samples[0].instances is not None else ()))
    batch = {part: joined([getattr(sample, part) for sample in samples]) for part in parts}
    return Batch(**batch, id=[sample.id for sample in samples])


class Held:
    """Samples decoded at the start and held in memory that forked workers share.

    Raises:
        DataError: they would not fit into the memory that is free.
    """

    def __init__(self, samples: Samples) -> None:
        _check_memory(samples)
        self._samples = samples
        self.key, self.ids, self.gaps = samples.key, samples.ids, samples.gaps
        log.info("making %s samples and holding them (data.cache=true) ...", f"{len(samples):,}")
        with ThreadPoolExecutor() as threads:  # decoders release the interpreter lock
            self._held = list(threads.map(samples.__getitem__, range(len(samples))))

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, index: int) -> Sample:
        return self._held[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return self._samples.files(index)

    def inspect(self, index: int) -> Facts:
        return self._samples.inspect(index)

    def only(self, indices: Sequence[int]) -> Self:
        return type(self)(self._samples.only(indices))


def _check_memory(samples: Samples, looked_at: int = 8) -> None:
    """Raises DataError where all would take more than there is, by the mean of a few."""
    some = range(0, len(samples), max(len(samples) // looked_at, 1))
    needed = sum(_bytes(samples[i]) for i in some) * len(samples) / max(len(some), 1)
    free = free_memory(torch.device("cpu"))
    if needed > free:
        raise DataError(
            f"data.cache=true would hold {len(samples):,} samples in about {needed / 2**30:,.1f} "
            f"GB, and {free / 2**30:,.1f} GB of memory are free; type data.cache=false"
        )


def _bytes(sample: Sample) -> int:
    parts = (sample.image, sample.label, sample.instances)
    return sum(part.nbytes for part in parts if part is not None)
