"""How far training is: a bar on a terminal, a line now and then in a log file."""

import sys
import time
from datetime import timedelta
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from segsuite.core.hints import Count


class TrainingProgress(ProgressBar):
    """Iterations done, iterations and images a second, time left, loss.

    Also logs `train/iterations_per_second`. Speeds leave out validation.

    Args:
        every: iterations between two looks at speed and loss (each waits for the GPU once).
        line_seconds: seconds between two lines where the output is not a terminal.
    """

    def __init__(self, *, every: Count = 20, line_seconds: float = 30.0) -> None:
        super().__init__()
        self.every, self.line_seconds = every, line_seconds
        self._enabled = True
        self._batches = 0
        self._begun = self._paused = 0.0  # on the clock
        self._bar: Progress | None = None
        self._last_line = 0.0

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        if self._enabled:
            print(*args, **kwargs, file=sys.stderr, flush=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._batches, self._begun = 0, time.monotonic()
        if self._enabled and sys.stderr.isatty():
            columns = (TextColumn("iteration {task.completed}/{task.total}"), BarColumn())
            console = Console(stderr=True)
            self._bar = Progress(*columns, TextColumn("{task.description}"), console=console)
            self._bar.add_task("", total=trainer.max_steps, completed=trainer.global_step)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches += 1
        if (batch_idx + 1) % (self.every * trainer.accumulate_grad_batches):
            return
        batches_per_second = self._batches / max(time.monotonic() - self._begun, 1e-9)
        speed = batches_per_second / trainer.accumulate_grad_batches
        images = batches_per_second * len(batch["id"]) * trainer.world_size
        pl_module.log("train/iterations_per_second", speed, batch_size=1, rank_zero_only=True)
        left = timedelta(seconds=round((trainer.max_steps - trainer.global_step) / speed))
        self._show(trainer, f"{speed:.2f} it/s, {images:.1f} images/s, {left} left")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._paused = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun += time.monotonic() - self._paused  # as if it had begun later by that much

    def on_train_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    on_exception = on_train_end

    def _show(self, trainer: Trainer, speed: str) -> None:
        loss = trainer.progress_bar_metrics.get("train/loss")
        text = speed if loss is None else f"{speed}, loss {loss:.4f}"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, description=text)
        elif time.monotonic() - self._last_line > self.line_seconds:
            self._last_line = time.monotonic()
            self.print(f"iteration {trainer.global_step}/{trainer.max_steps}: {text}")


class EvaluationProgress(Callback):
    """A line now and then: how many batches are done.

    Args:
        line_seconds: seconds between two lines.
    """

    def __init__(self, *, line_seconds: float = 10.0) -> None:
        self.line_seconds = line_seconds
        self._last_line = time.monotonic()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        batches = (trainer.num_val_batches or trainer.num_test_batches or [0])[0]
        if trainer.is_global_zero and time.monotonic() - self._last_line > self.line_seconds:
            self._last_line = time.monotonic()
            print(f"batch {batch_idx + 1}/{batches}", file=sys.stderr, flush=True)

    on_test_batch_end = on_validation_batch_end
