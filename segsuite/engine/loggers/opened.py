"""Loggers from the start of a run to its end, and what all of them are shown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

from segsuite.engine.loggers.wandb import WandbLogger


@contextmanager
def opened(
    loggers: Sequence[Logger],
    config: Mapping[str, Any],
    *,
    step: int = 0,
    resolved: Callable[[str], str] = lambda metric: metric,
) -> Iterator[None]:
    """Gives every logger the config, and ends their runs with the block, however it ends.

    Args:
        config: the config, flat and plain, so that each key is a column of a comparison.
        step: iterations that a resumed run has behind it.
        resolved: gives the metric that `test/headline` stands for.
    """
    failed = True
    try:
        for logger in loggers:
            if isinstance(named := getattr(logger, "metric", None), str):
                logger.metric = resolved(named)
            if step and hasattr(logger, "go_on_at"):
                logger.go_on_at(step)
            logger.log_hyperparams(dict(config))
        yield
        failed = False
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.finish(failed=failed)


def log_image(trainer: Trainer, name: str, path: Path) -> None:
    """Shows a PNG file in every logger that can show images."""
    for logger in trainer.loggers:
        show_image(logger, name, path, _step(trainer))


def shows_images(logger: Logger) -> bool:
    """Whether a logger can show images."""
    return hasattr(logger, "log_image") or hasattr(getattr(logger, "experiment", None), "add_image")


def show_image(logger: Logger, name: str, path: Path, step: int) -> None:
    """Shows a PNG file in a logger, if it can show images."""
    if hasattr(logger, "log_image"):  # wandb
        logger.log_image(name, [str(path)], step=step)
    elif shows_images(logger):  # tensorboard
        from PIL import Image

        pixels = np.asarray(Image.open(path).convert("RGB"))
        logger.experiment.add_image(name, pixels, step, dataformats="HWC")


def log_masks(
    trainer: Trainer,
    name: str,
    image: NDArray[np.uint8],
    masks: Mapping[str, NDArray[np.integer]],
    classes: Sequence[str],
) -> None:
    """Lays label maps over an image, in every logger that can switch their classes on and off.

    Shapes: image (H, W, 3), masks (h, w), of class ids, below zero where there is none

    Args:
        masks: label maps by what they are.
        classes: names of the classes.
    """
    for logger in trainer.loggers:
        if hasattr(logger, "log_masks"):  # wandb
            logger.log_masks(name, image, masks, classes, step=_step(trainer))


def _step(trainer: Trainer) -> int:
    return max(trainer.global_step - 1, 0)  # of the metrics beside it: Lightning counts from 0
