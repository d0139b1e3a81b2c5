"""What is made up for when a run is resumed."""

from types import SimpleNamespace

import pytest
import torch

from segsuite.core.checkpoint import save_checkpoint
from segsuite.engine.callbacks.checkpoints import Checkpoints
from segsuite.engine.training import fit


@pytest.mark.parametrize(("stopped_at", "validations"), [(18, 0), (24, 1), (None, 0)])
def test_only_a_run_with_nothing_left_to_train_validates_again(tmp_path, stopped_at, validations):
    """Training writes into the very file that it was resumed from."""
    last, network = tmp_path / "last.ckpt", torch.nn.Linear(1, 1)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}

    def saved(step):
        save_checkpoint({"global_step": step, "state_dict": weights}, last)

    if stopped_at is not None:
        saved(stopped_at)
    asked = []
    trainer = SimpleNamespace(
        max_steps=24,
        global_step=24,
        callbacks=[Checkpoints(folder=str(tmp_path))],
        callback_metrics={"val/miou": 0.5},
        is_global_zero=True,
        strategy=SimpleNamespace(barrier=lambda name: None),
        fit=lambda *_, **__: saved(24),
        validate=lambda *_, **__: asked.append(1),
    )
    fit(trainer, SimpleNamespace(network=network), None, None if stopped_at is None else last)
    assert len(asked) == validations
    assert (tmp_path / "best.ckpt").exists() == bool(validations)
