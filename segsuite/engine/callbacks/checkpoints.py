"""last.ckpt for going on, best.ckpt for the metrics; each is whole or absent."""

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from segsuite.core.checkpoint import read_checkpoint, save_checkpoint
from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.files import write_json, written_whole
from segsuite.core.hints import Count, NotNegative
from segsuite.engine.launch.folders import read_best

SAMPLES_KEY = "samples"
"""Where a checkpoint keeps fingerprints of the samples that it was trained and validated on."""


_DEAREST = 50
"""Times as long as writing took, nothing is written by the clock."""
_AGREE = 10
"""Iterations between two agreements of several processes on the time."""


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` every so often and before validations, `best.ckpt` after the best one.

    The best score stands in `best.json` beside it rather than in checkpoints, so that a run that
    is resumed from before its best validation still knows it; and so do the metrics of the last
    validation. A score that is no number is never the best.

    Args:
        folder: where the files go.
        every: iterations between two writes of `last.ckpt`.
        minutes: minutes after which it is written, too; where writing takes long, after as many as
            keep it below a fiftieth of the time. None: by iterations alone.
        monitor: the metric by which the best is chosen; `val/headline` is the task's own.
        mode: whether its largest or smallest value is the best; `auto`: as the task has it for
            its headline, and the largest of any other metric.
    """

    def __init__(
        self,
        *,
        folder: str,
        every: Count = 500,
        minutes: NotNegative | None = 2.0,
        monitor: str = "val/headline",
        mode: Literal["max", "min", "auto"] = "auto",
    ) -> None:
        super().__init__()
        self.folder, self.every, self.minutes = Path(folder), every, minutes
        self.last, self.best = self.folder / "last.ckpt", self.folder / "best.ckpt"
        self.monitor, self.mode = monitor, mode
        self._saved_at = -1
        self._next = math.inf  # on the clock

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.monitor = pl_module.resolved(self.monitor)
        if self.mode == "auto":
            of_headline = self.monitor == pl_module.resolved("val/headline")
            lower = of_headline and not pl_module.evaluator.higher_is_better
            self.mode = "min" if lower else "max"

    def best_score(self) -> float | None:
        """The monitored metric of `best.ckpt`, or None where there is none yet."""
        return self._noted().get("score")

    def validation(self) -> dict[str, float]:
        """The metrics of the last validation; none before there was one."""
        noted = self._noted().get("figures", {})
        return {name: math.nan if value is None else value for name, value in noted.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._wait(0.0)
        if self._owes_validation(trainer):
            # As Lightning does it between two batches; resumed within one, it would leave it out.
            # Lightning calls callbacks that save last: all others have begun by now.
            self._saved_at = trainer.global_step
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def _owes_validation(self, trainer: Trainer) -> bool:
        """Whether a run is resumed at a validation that was begun and never ended."""
        every, step = trainer.val_check_batch, trainer.global_step
        if not isinstance(every, int) or not step or not self.last.exists():
            return False
        done = self._noted().get("validated") or 0
        return step * trainer.accumulate_grad_batches % every == 0 and done < step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps or self._due(trainer):
            self._save_last(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Before and not after it: whatever happens during a long validation, nothing is lost.
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if better := self._is_better(trainer):
            trainer.save_checkpoint(self.best, weights_only=False)
        self._record(trainer, better=better)

    def catch_up(self, trainer: Trainer) -> None:
        """Lets `last.ckpt` be the best if the validation of it that just ended says so.

        For a run that was stopped in its last validation: it has nothing left to train.
        """
        if (better := self._is_better(trainer)) and trainer.is_global_zero:
            self.keep_last_as_best()
        self._record(trainer, better=better)

    def keep_last_as_best(self) -> None:
        """Lets `last.ckpt` be the best of a run in which no validation chose one."""
        with written_whole(self.best) as beside:
            shutil.copyfile(self.last, beside)

    def _is_better(self, trainer: Trainer) -> bool:
        # The same on all processes: metrics are summed over them.
        score, best = self._score(trainer.callback_metrics), self.best_score()
        if math.isnan(score):
            return False
        return best is None or (score > best if self.mode == "max" else score < best)

    def _record(self, trainer: Trainer, *, better: bool) -> None:
        """The best score and its step; the last step that was validated at all, and its metrics."""
        if trainer.is_global_zero:
            path, step = self.folder / "best.json", trainer.global_step
            new = {"score": self._score(trainer.callback_metrics), "monitor": self.monitor}
            best = new | {"step": step} if better else self._noted()
            logged = trainer.callback_metrics.items()
            last = {k: float(v) for k, v in logged if not k.startswith("train/")}
            write_json(path, best | {"validated": step, "figures": last})
        trainer.strategy.barrier("best.json")

    def _noted(self) -> dict[str, Any]:
        return read_best(self.folder / "best.json")

    def _save_last(self, trainer: Trainer) -> None:
        if self._saved_at != trainer.global_step:
            begun = time.monotonic()
            trainer.save_checkpoint(self.last, weights_only=False)
            self._saved_at = trainer.global_step
            self._wait(time.monotonic() - begun)

    def _wait(self, took: float) -> None:
        """Sets when the next one is due, after one that took so many seconds."""
        if self.minutes is not None:
            self._next = time.monotonic() + max(60 * self.minutes, _DEAREST * took)

    def _due(self, trainer: Trainer) -> bool:
        """Whether it is time; processes agree on it, seldom, since they wait for each other."""
        if trainer.world_size == 1:
            return time.monotonic() >= self._next
        if self.minutes is None or trainer.global_step % _AGREE:
            return False
        return trainer.strategy.reduce_boolean_decision(time.monotonic() >= self._next, all=False)

    def _score(self, metrics: Mapping[str, Any]) -> float:
        if self.monitor not in metrics:
            raise ConfigError(
                f"callbacks.checkpoint.monitor={self.monitor} is not logged"
                f"{did_you_mean(self.monitor, metrics)}"
            )
        return float(metrics[self.monitor])


class Identity(Callback):
    """Puts the run's config and classes into its checkpoints, so that they rebuild themselves.

    Args:
        content: by the checkpoint's keys, as plain types and tensors.
    """

    def __init__(self, *, content: Mapping[str, Any]) -> None:
        self.content = content

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint.update(self.content)


class WholeCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written beside and renamed, read as plain types only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(path)
