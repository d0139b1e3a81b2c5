"""A training that diverges is stopped where it did, and what it saved before stays."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from segsuite.core.errors import DivergedError
from segsuite.core.finite import not_finite

_SKIPPED = 32
"""Iterations in a row that loss scaling may skip: from any scale it has come down to 1 by then."""
_NORM = "gradient norm"
_LAG = 2
"""Iterations after which several processes look at their losses, all at the same one."""


class FiniteTraining(Callback):
    """Raises at the first iteration whose losses or gradient norm are not finite.

    They are measured where the weights are, and the host reads what has arrived by the time of a
    later iteration: it waits for them before a checkpoint is written, a validation or the end, and
    nowhere else. Until they were read nothing is saved, and weights that are not finite never are.

    Under loss scaling (fp16) such iterations are skipped by the scaler, and expected: then it is
    `_SKIPPED` of them in a row that end the training.

    Args:
        last: path of the checkpoint that the training can go on from.
    """

    def __init__(self, *, last: str | Path) -> None:
        self.last = Path(last)
        self._norm: Tensor | None = None
        self._pending: deque[_Measured] = deque()
        self._bad: list[tuple[int, dict[str, float]]] = []
        self._apart: list[str] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # What is infinite from the start is meant so, such as a mask; weights would show at once.
        self._apart = not_finite(pl_module.state_dict())
        self._norm, self._bad = None, []
        self._pending.clear()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        # After loss scaling was undone, and before the gradients are clipped.
        weights = (weight for group in optimizer.param_groups for weight in group["params"])
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        self._norm = _total_norm(gradients) if gradients else None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        losses = _losses(outputs)
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._norm is not None:
            losses[_NORM], self._norm = self._norm, None
        if losses:
            iteration = trainer.global_step + (not stepped)
            self._pending.append(_measured(iteration, losses, trainer.world_size))
        if trainer.world_size > 1:  # an error on one process only would leave the others waiting
            self._read(trainer, at_most=_LAG)
        else:
            while self._pending and self._pending[0].arrived():
                self._judge(trainer, self._pending.popleft())

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._read(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != "fit":
            return
        self._read(trainer)
        bad = [n for n in not_finite(checkpoint["state_dict"]) if n not in self._apart]
        if bad:
            raise DivergedError(
                f"the training diverged: after iteration {trainer.global_step} of "
                f"{trainer.max_steps} {len(bad)} of {len(checkpoint['state_dict'])} weights are "
                f"not finite, {bad[0]} first. {self._what_now(trainer)}"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._read(trainer)

    def _read(self, trainer: Trainer, *, at_most: int = 0) -> None:
        """Waits for what was measured, until so many iterations are left."""
        while len(self._pending) > at_most:
            self._judge(trainer, self._pending.popleft())

    def _judge(self, trainer: Trainer, measured: "_Measured") -> None:
        losses = measured.read()
        if all(map(math.isfinite, losses.values())):
            if _NORM in losses:  # batches that only gather gradients say nothing of the scale
                self._bad = []
            return
        self._bad.append((measured.iteration, losses))
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if len(self._bad) <= (_SKIPPED if scaled else 0):
            return
        (first, found), count = self._bad[0], len(self._bad)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        row = f" and the {count - 1} after it, all skipped by loss scaling" if count > 1 else ""
        raise DivergedError(
            f"the training diverged in iteration {first} of {trainer.max_steps}{row}: "
            f"{shown}. {self._what_now(trainer)}"
        )

    def _what_now(self, trainer: Trainer) -> str:
        there = self.last.exists()
        kept = f"{self.last} is of before, and finite" if there else "Nothing had been saved before"
        groups = trainer.optimizers[0].param_groups
        rate = max(float(group.get("initial_lr", group["lr"])) for group in groups)
        return (
            f"{kept}. Lower the learning rate, the lr of the method's optimizer (here up to "
            f"{rate:.3g}), or type trainer.gradient_clip_val=1; trainer.detect_anomaly=true names "
            "the operation"
        )


@dataclass(frozen=True)
class _Measured:
    """What was measured of an iteration, on its way to the host."""

    iteration: int
    names: tuple[str, ...]
    values: Tensor
    event: "torch.cuda.Event | None"

    def arrived(self) -> bool:
        return self.event is None or self.event.query()

    def read(self) -> dict[str, float]:
        """By name, on the host; waits if it has to."""
        if self.event is not None:
            self.event.synchronize()
        return dict(zip(self.names, self.values.tolist(), strict=True))


def _total_norm(gradients: list[Tensor]) -> Tensor:
    """Of them all together, () on their device."""
    if len({(gradient.device, gradient.dtype) for gradient in gradients}) > 1:
        return get_total_norm(gradients)
    # As it does it, without its sorting by device and type: half its time on a CPU.
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2.0)))


def _losses(outputs: Any) -> dict[str, Tensor]:
    """The single losses where the task gives them, else what is minimised."""
    if isinstance(outputs, Tensor):
        return {"loss": outputs}
    if not isinstance(outputs, Mapping):
        return {}
    named = outputs.get("losses") or {"loss": outputs.get("loss")}
    return {name: loss for name, loss in named.items() if isinstance(loss, Tensor)}


def _measured(iteration: int, losses: Mapping[str, Tensor], processes: int) -> _Measured:
    """Begins the copy to the host; nothing waits for the device."""
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    if processes > 1:  # the mean is finite where that of every process is
        torch.distributed.all_reduce(values)
        values /= processes
    event = None
    if values.is_cuda:
        host = torch.empty(values.shape, pin_memory=True)
        values, event = host.copy_(values, non_blocking=True), torch.cuda.Event()
        event.record()
    return _Measured(iteration, tuple(losses), values, event)
