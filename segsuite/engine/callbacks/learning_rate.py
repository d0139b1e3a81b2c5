"""The learning rate, beside the losses."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class LearningRate(Callback):
    """Logs `train/learning_rate` of the iterations whose losses are logged."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        every = trainer.log_every_n_steps
        steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if every and steps and (trainer.global_step + 1) % every == 0:
            rate = base_rate(trainer.optimizers[0])
            pl_module.log("train/learning_rate", rate, batch_size=1, rank_zero_only=True)


def base_rate(optimizer: Optimizer) -> float:
    """Where `method.optimizer.lr` has come to by its schedule.

    Groups with an `lr_scale` are that many times as fast; the rate is that of a group without, or
    the first one's without its scale.
    """
    groups, base = optimizer.param_groups, optimizer.defaults.get("lr")
    group = next((g for g in groups if g.get("initial_lr") == base), groups[0])
    rate, begun = float(group["lr"]), float(group.get("initial_lr", 0.0))
    return rate if base is None or not begun else float(base) * rate / begun
