"""Random generators travel in checkpoints, and validation leaves no trace on training."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from segsuite.core.seeding import capture, restore

_KEY = "random_states"


class RandomStates(Callback):
    """Makes a resumed run draw what the uninterrupted run would have drawn, on every process."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._before_validation: dict[str, Any] = {}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[_KEY] = _of_all_processes(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states = checkpoint.get(_KEY, [])
        # With another number of processes than before there is nothing to be exact about.
        self._loaded = states[trainer.global_rank] if len(states) == trainer.world_size else None

    def on_train_batch_start(self, *_: Any) -> None:
        # As late as possible: data loaders have been set up by now, and may have drawn.
        if self._loaded is not None:
            restore(self._loaded)
            self._loaded = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loaded is not None:  # a validation that is made up for, before the first batch
            restore(self._loaded)
        self._before_validation = capture()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        restore(self._before_validation)


def _of_all_processes(trainer: Trainer) -> list[dict[str, Any]]:
    if trainer.world_size == 1:
        return [capture()]
    states: list[dict[str, Any]] = [{} for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(states, capture())
    return states
