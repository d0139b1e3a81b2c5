"""What a Lightning user types in epochs, in iterations: training data here have no end.

An epoch holds all iterations unless `trainer.limit_train_batches` or `trainer.overfit_batches` ends
it. What is given in epochs or shares of one is therefore counted in passes: so many batches as see
each training image once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lightning import LightningDataModule, Trainer

from segsuite.core.errors import ConfigError


@runtime_checkable
class CountsImages(Protocol):
    """Data that know how many images they have; others are trained by iterations alone.

    Attributes:
        batch_size: training images of one process in one batch.
        test_split: the split that the final evaluation is made on.
    """

    batch_size: int
    test_split: str

    def images(self, split: str) -> int:
        """How many images a split has."""
        ...


@dataclass(frozen=True)
class Pass:
    """Once through the training images.

    Attributes:
        images: number of images in the training split.
        batch: images of all processes in one batch.
    """

    images: int
    batch: int

    @property
    def batches(self) -> int:
        """The last one may hold images of the next pass."""
        return -(-self.images // self.batch)

    def __str__(self) -> str:
        return f"the {self.images:,} training images in batches of {self.batch}"


def without_epochs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that Lightning takes before it is known how many images there are."""
    neutral: dict[str, Any] = {}
    if _endless(settings):
        neutral = {"max_epochs": -1, "min_epochs": None}
    if _is_share(settings):
        neutral["val_check_interval"] = 1
    return {key: neutral.get(key, value) for key, value in settings.items()}


def count_iterations(trainer: Trainer, settings: Mapping[str, Any], data: Any) -> None:
    """Gives the trainer the number of batches between two validations, if it was a share.

    Raises:
        ConfigError: a length in epochs, with the number of iterations to type; or a share where
            nobody knows of what.
    """
    once = one_pass(trainer, data)
    if _endless(settings):
        _refuse_epochs(settings, once)
    if _is_share(settings):
        share = settings["val_check_interval"]
        trainer.val_check_interval = max(int(share * _epoch(settings, once)), 1)


def one_pass(trainer: Trainer, data: Any) -> Pass | None:
    """A pass over the training images, or None where their number is not known."""
    if not isinstance(data, CountsImages):
        return None
    return Pass(data.images("train"), data.batch_size * trainer.num_devices)


def check_validated(trainer: Trainer, metric: str | None) -> None:
    """Raises ConfigError for a metric of a validation that is asked for where none is ever made."""
    if metric is None or not metric.startswith("val/"):
        return
    batches, every = trainer.max_steps * trainer.accumulate_grad_batches, trainer.val_check_interval
    if trainer.limit_val_batches == 0:
        why, what = "trainer.limit_val_batches=0", "give some"
    elif trainer.check_val_every_n_epoch is None and isinstance(every, int) and every > batches > 0:
        why = f"trainer.val_check_interval={every}, but there are {batches} batches"
        what = f"type trainer.val_check_interval={batches}"
    else:
        return
    raise ConfigError(
        f"optimized_metric={metric} would never be measured ({why}); {what}, or optimized_metric="
        f"test/{metric.removeprefix('val/')}"
    )


def check_processes(trainer: Trainer, data: LightningDataModule, *splits: str) -> None:
    """Raises ConfigError where a process would have no image of a split, and wait for ever."""
    for split in dict.fromkeys(splits) if isinstance(data, CountsImages) else ():
        if (images := data.images(split)) < trainer.num_devices:
            raise ConfigError(
                f"trainer.devices={trainer.num_devices} are as many processes, but split `{split}` "
                f"has {images} {'image' if images == 1 else 'images'} for them; type "
                f"trainer.devices={max(images, 1)}, or give more images"
            )


def evaluated(settings: Mapping[str, Any], data: Any) -> list[str]:
    """The splits that a training evaluates on, in validations and in the end."""
    splits = {"val": "val", "test": getattr(data, "test_split", "val")}
    return [s for stage, s in splits.items() if settings.get(f"limit_{stage}_batches") != 0]


def _is_share(settings: Mapping[str, Any]) -> bool:
    """Whether validations come by a share of an epoch; Lightning knows where one that ends does."""
    share = settings.get("val_check_interval")
    ends = not _endless(settings) and settings.get("check_val_every_n_epoch", 1) is not None
    return isinstance(share, float) and not (share == 1 and ends)


def _endless(settings: Mapping[str, Any]) -> bool:
    """Whether an epoch holds all iterations."""
    ends = (settings.get("limit_train_batches"), settings.get("overfit_batches"))
    return not any(isinstance(batches, int) and batches for batches in ends)


def _epoch(settings: Mapping[str, Any], once: Pass | None) -> int:
    """Batches of an epoch, or of a pass where it has no end."""
    if not _endless(settings):
        return settings.get("overfit_batches") or settings["limit_train_batches"]
    if once is None:
        raise ConfigError(
            f"trainer.val_check_interval={settings['val_check_interval']} is a share of a pass "
            "over the training images, but these data do not tell how many they are; type a "
            "number of iterations, such as trainer.val_check_interval=500"
        )
    return once.batches


def _refuse_epochs(settings: Mapping[str, Any], once: Pass | None) -> None:
    """Raises ConfigError for epochs that would never end, with the iterations to type."""
    for key, instead in (("max_epochs", "max_steps"), ("min_epochs", "min_steps")):
        epochs = settings.get(key)
        if epochs in (None, -1, 0):
            continue
        steps = "N"
        if once is not None:
            steps = math.ceil(epochs * once.batches / settings.get("accumulate_grad_batches", 1))
        told = f" ({epochs} x {once} are {steps:,} iterations)" if once else ""
        raise ConfigError(
            f"trainer.{key}={epochs}: training is by iterations, and its one epoch has no end; "
            f"type trainer.{instead}={steps} instead{told}"
        )
    every = settings.get("check_val_every_n_epoch")
    if every is not None and every > 1:
        batches = "N" if once is None else every * once.batches
        raise ConfigError(
            f"trainer.check_val_every_n_epoch={every}: training is by iterations, and its one "
            f"epoch has no end; type trainer.val_check_interval={batches} instead"
            + ("" if once is None else f" ({every} times {once})")
        )
