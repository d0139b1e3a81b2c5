"""Where figures and pictures go: CSV, Weights & Biases, TensorBoard; each goes on when resumed."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from segsuite.core.errors import MissingExtra
from segsuite.core.files import written_whole
from segsuite.engine.wandb_logger import WandbLogger

__all__ = ["CsvLogger", "TensorBoardLogger", "WandbLogger", "log_picture", "opened"]


class CsvLogger(Logger):
    """`metrics.csv` in the run's folder, a row per step; the file is whole at any time.

    A resumed run goes on in the same file: rows of steps that are done again are replaced.
    """

    def __init__(self, *, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._rows: dict[int, dict[str, Any]] | None = None
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config stands in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        rows = self._loaded()
        step = 0 if step is None else int(step)
        # What an interrupted run had logged beyond this step has not happened now.
        for later in [known for known in rows if known > step]:
            del rows[later]
        row = rows.setdefault(step, {"step": step})
        row |= {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self._columns += [name for name in row if name not in self._columns]
        self.save()

    @rank_zero_only
    def save(self) -> None:
        if not self._rows:
            return
        with written_whole(self.path) as beside, open(beside, "w", newline="") as handle:
            writer = csv.DictWriter(handle, self._columns)
            writer.writeheader()
            writer.writerows(self._rows.values())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _loaded(self) -> dict[int, dict[str, Any]]:
        if self._rows is None:
            self._rows = {}
            if self.path.exists():
                with open(self.path, newline="") as handle:
                    reader = csv.DictReader(handle)
                    self._columns = list(reader.fieldnames or [])
                    self._rows = {
                        int(row["step"]): {k: v for k, v in row.items() if v != ""}
                        for row in reader
                    }
        return self._rows


def TensorBoardLogger(*, folder: str, metric: str = "test/miou") -> Logger:
    """Lightning's logger for TensorBoard.

    Args:
        metric: the figure that stands beside the config under HPARAMS.

    Raises:
        MissingExtra: tensorboard is not installed.
    """
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise MissingExtra("tensorboard", "tensorboard")
    from segsuite.engine.tensorboard_logger import TensorBoardLogger as WithMetric

    return WithMetric(folder=folder, metric=metric)


@contextmanager
def opened(
    loggers: Sequence[Logger], config: Mapping[str, Any], *, step: int = 0
) -> Iterator[None]:
    """Gives every logger the config, and ends their runs with the block, however it ends.

    Args:
        config: flat and plain, so that each key is a column of a comparison.
        step: iterations that a run has behind it which is resumed.
    """
    for logger in loggers:
        if step and hasattr(logger, "go_on_at"):
            logger.go_on_at(step)
        logger.log_hyperparams(dict(config))
    failed = True
    try:
        yield
        failed = False
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.finish(failed=failed)


def log_picture(trainer: Trainer, name: str, path: Path) -> None:
    """Shows a PNG file in every logger that can show pictures."""
    step = max(trainer.global_step - 1, 0)  # of the figures beside it: Lightning counts from 0
    for logger in trainer.loggers:
        if hasattr(logger, "log_image"):  # wandb
            logger.log_image(name, [str(path)], step=step)
        elif hasattr(getattr(logger, "experiment", None), "add_image"):  # tensorboard
            import numpy as np
            from PIL import Image

            pixels = np.asarray(Image.open(path))
            logger.experiment.add_image(name, pixels, step, dataformats="HWC")
