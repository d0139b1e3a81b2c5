"""The data set of a run as a LightningDataModule: readers, transforms and samplers put together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.hints import Between, Count, Sides
from segsuite.core.sizes import Size
from segsuite.data.batches import (
    EvalTransform,
    EvaluationSet,
    Held,
    TrainingSet,
    TrainTransform,
    listed,
    stacked,
)
from segsuite.data.checks.occurrence import check_scores, check_training, occurrence
from segsuite.data.checks.verify import verified
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.splits import warn_of_shared
from segsuite.data.samplers import EndlessBatches, ShardedOnce
from segsuite.data.samples import Facts, Reader, Samples
from segsuite.data.workers import leave_signals_to_the_training

HELD_OUT = "held_out"
"""The split of the training images that are held out."""


class SegmentationData(L.LightningDataModule):
    """Loaders for training and evaluation of one data set.

    Training is one endless epoch, resumed at whatever iteration the trainer has reached. Evaluation
    sees every image once over all ranks, without padding.

    Args:
        root: folder of the data set; None for data that are drawn.
        classes: class table by name or YAML file; None when the reader brings its own.
        num_classes: number of classes, which stands here for the rest of the config; must be the
            table's.
        crop_size: (height, width) of training images.
        batch_size, eval_batch_size: number of images per device in training and in evaluation.
        instances: whether instance ids are read too.
        cache: whether all decoded samples are held in memory, shared by the workers.
        verify: whether every file is decoded once before training; known files are not opened
            again.
        verify_dir: folder where what is known of the files is kept; None for the user's cache
            folder.
        strict: whether incomplete or corrupt samples are errors; if False, they are left out and
            reported.
        test_split: the split of `test_dataloader`, since many data sets keep their test labels;
            None for `test` where there is one, else `val`.
        held_out: share of the training images that is not trained on, but a split of its own,
            `held_out`, for a search to choose by: the last ones in the order of their names, so
            that frames of one drive stay together.
    """

    def __init__(
        self,
        *,
        reader: Reader,
        train_transform: TrainTransform,
        eval_transform: EvalTransform,
        crop_size: Sides,
        num_classes: Count,
        root: str | None = None,
        classes: str | None = None,
        batch_size: Annotated[int, Between(1)] = 8,
        eval_batch_size: Annotated[int, Between(1)] = 4,
        num_workers: Annotated[int, Between(0)] = 2,
        seed: int = 0,
        instances: bool = False,
        cache: bool = False,
        verify: bool = True,
        verify_dir: str | None = None,
        strict: bool = True,
        test_split: str | None = "val",
        held_out: Annotated[float, Between(0, 0.9)] = 0.0,
    ) -> None:
        super().__init__()
        self.classes = _class_table(reader, classes, num_classes)
        self.crop_size: Size = (crop_size[0], crop_size[1])
        self.train_transform, self.eval_transform = train_transform, eval_transform
        self._reader = reader
        self._root = None if root is None else Path(root).expanduser()
        self.batch_size, self._eval_batch_size = batch_size, eval_batch_size
        self._num_workers, self._seed = num_workers, seed
        self._instances, self._cache, self._strict = instances, cache, strict
        self._verify = verify
        self.verify_dir = None if verify_dir is None else Path(verify_dir).expanduser()
        self._test_split, self._held_out = test_split, held_out
        self._ready: dict[str, Samples] = {}
        self._facts: dict[str, list[Facts]] = {}
        self._looked_at: set[str] = set()

    @property
    def reader_name(self) -> str:
        """The class of the reader, by which measurements say what they were made on."""
        return type(self._reader).__name__

    @property
    def test_split(self) -> str:
        """The split of the last test."""
        if self._test_split is not None:
            return self._test_split
        names = getattr(self._reader, "split_names", None)  # other people's readers need not say
        return "test" if names is not None and "test" in names(self._root) else "val"

    def setup(self, stage: str | None = None) -> None:
        """Opens and verifies the splits of a stage: fit, validate or test; all when None.

        Warns of classes that do not occur and of splits that share images.

        Raises:
            DataError: files that are missing, corrupt or hold ids unknown to the class table; or
                masks from which nothing can be learnt.
        """
        wanted = {
            "fit": ("train", "val"),
            "validate": ("val",),
            "test": (self.test_split,),
            None: ("train", "val", self.test_split),
        }
        splits = dict.fromkeys(wanted.get(stage, ()))
        for split in splits:
            self.samples(split)
        self._look_at([split for split in splits if split not in self._looked_at])

    def _look_at(self, splits: Sequence[str]) -> None:
        """Whether something can be learnt and measured on splits that were not looked at yet."""
        self._looked_at.update(splits)
        seen = {
            split: masks
            for split in splits
            if (masks := occurrence(split, self._ready[split], self._facts.pop(split, ())))
        }
        if "train" in seen:
            check_training(seen["train"], seen.get("val"), self.classes)
        for split, masks in seen.items():
            if split != "train":
                check_scores(masks, self.classes)
            warn_of_shared(self._ready, split)

    def samples(self, split: str) -> Samples:
        """The samples of a split as they are stored, opened and verified once.

        Raises:
            ConfigError: it is `held_out`, and nothing was held out.
        """
        if split not in self._ready:
            if split == HELD_OUT and not self._held_out:
                raise ConfigError(
                    "no training images were held out to choose by; train with data.held_out=0.1"
                )
            whole = "train" if split == HELD_OUT else split
            samples, facts = self.open(whole, strict=self._strict), []
            if self._verify:
                samples, facts = verified(
                    samples, self.classes, folder=self.verify_dir, strict=self._strict
                )
            self._keep(whole, samples, facts)
        return self._ready[split]

    def _keep(self, split: str, samples: Samples, facts: list[Facts]) -> None:
        """As ready to be used; what is held out of the training images apart."""
        if split == "train" and self._held_out:
            first = len(samples) - max(round(self._held_out * len(samples)), 1)
            if first < 1:
                raise ConfigError(
                    f"data.held_out={self._held_out} leaves none of {len(samples)} training images"
                )
            apart = samples.only(range(first, len(samples)))
            self._ready[HELD_OUT] = Held(apart) if self._cache else apart
            self._facts[HELD_OUT] = facts[first:]
            samples, facts = samples.only(range(first)), facts[:first]
        self._ready[split] = Held(samples) if self._cache else samples
        self._facts[split] = facts

    def images(self, split: str) -> int:
        """How many images a split has."""
        return len(self.samples(split))

    def open(self, split: str, *, strict: bool) -> Samples:
        """The samples of a split as they are found, not verified yet."""
        return self._reader.open(
            split,
            root=self._root,
            classes=self.classes,
            instances=self._instances,
            strict=strict,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Stacked batches without end, from the trainer's present iteration on."""
        samples = self.samples("train")
        batches = EndlessBatches(
            length=len(samples),
            batch_size=self.batch_size,
            seed=self._seed,
            start=self._batches_done(),
            **self._place(),
        )
        return self._loader(
            TrainingSet(samples, self.train_transform, self._seed),
            batch_sampler=batches,
            collate_fn=stacked,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Lists of images and labels of the validation split, each once over all ranks."""
        return self._evaluation("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """The same of `test_split`."""
        return self._evaluation(self.test_split)

    def _evaluation(self, split: str) -> DataLoader[Any]:
        samples = self.samples(split)
        return self._loader(
            EvaluationSet(samples, self.eval_transform),
            sampler=ShardedOnce(length=len(samples), **self._place()),
            batch_size=self._eval_batch_size,
            collate_fn=listed,
        )

    def _loader(self, dataset: Any, **how: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            worker_init_fn=leave_signals_to_the_training,
            pin_memory=torch.cuda.is_available(),
            # Of its own, so that making an iterator does not advance the global generator, whose
            # state is in the checkpoint.
            generator=torch.Generator().manual_seed(self._seed),
            **how,
        )

    def _place(self) -> dict[str, int]:
        """What samplers are told of this process; nothing without a trainer."""
        if self.trainer is None:
            return {}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def _batches_done(self) -> int:
        if self.trainer is None:
            return 0
        return self.trainer.global_step * self.trainer.accumulate_grad_batches


def _class_table(reader: Reader, classes: str | None, num_classes: int) -> ClassTable:
    """The given table, or the reader's own.

    Raises:
        DataError: no table.
        ConfigError: `num_classes` is not its number of classes.
    """
    table = reader.own_classes if classes is None else ClassTable.load(classes)
    if table is None:
        raise DataError("no class table; give one as data.classes=NAME or data.classes=FILE.yaml")
    if len(table) != num_classes:
        raise ConfigError(
            f"data.num_classes={num_classes}, but the class table has {len(table)} classes; leave "
            "data.num_classes to be counted, or give another table as data.classes=..."
        )
    return table
