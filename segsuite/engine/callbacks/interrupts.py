"""Ctrl-C and SIGTERM end a run with a checkpoint."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lightning import Callback, LightningModule, Trainer

from segsuite.engine.launch.entry_point import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts(Callback):
    """Finishes the iteration, saves, and raises `Interrupted`; a second signal stops at once.

    Args:
        last: where the checkpoint goes. It is written before every validation too (`Checkpoints`),
            so that a signal during validation needs no further one.
    """

    def __init__(self, *, last: str | Path) -> None:
        self.last = Path(last)
        self._received: int | None = None
        self._stopping: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # which alone gets signals
        # Only now: Lightning has installed its own handlers shortly before, which drop the work
        # since the last checkpoint.
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and (number := self._received_anywhere(trainer)):
            trainer.save_checkpoint(self.last, weights_only=False)
            self._stopping = number  # a moment later, when this iteration has been logged

    def on_train_batch_start(self, *_: Any) -> None:
        self._stop_if(self._stopping)

    on_validation_start = on_train_batch_start

    def on_validation_batch_end(self, *_: Any) -> None:
        # Processes may have different numbers of batches here: each decides for itself, and
        # Lightning ends the others.
        self._stop_if(self._received)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_back()
        self._stop_if(self._stopping)

    def on_exception(self, *_: Any) -> None:
        self._put_back()

    def _stop_if(self, number: int | None) -> None:
        if number is not None:
            raise Interrupted(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise Interrupted(number)
        self._received = number

    def _received_anywhere(self, trainer: Trainer) -> int | None:
        """The signal that any process got: all of them must save together."""
        if trainer.world_size == 1:
            return self._received
        import torch

        number = torch.tensor(self._received or 0, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max")) or None

    def _put_back(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
