"""Random generators travel in checkpoints, and validation leaves no trace on training."""

import random
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

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


def capture() -> dict[str, Any]:
    """The states of all generators, as plain types and tensors."""
    name, keys, *rest = np.random.get_state()
    version, numbers, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [name, keys.tolist(), *rest],
        "python": [version, list(numbers), gauss],
    }


def restore(states: dict[str, Any]) -> None:
    """Sets all generators to states that `capture` gave."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))


def _of_all_processes(trainer: Trainer) -> list[dict[str, Any]]:
    if trainer.world_size == 1:
        return [capture()]
    states: list[dict[str, Any]] = [{} for _ in range(trainer.world_size)]
    torch.distributed.all_gather_object(states, capture())
    return states
