"""What is made up for when a run is resumed."""

from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from segsuite.core.checkpoint import save_checkpoint
from segsuite.core.errors import ConfigError
from segsuite.engine.callbacks.checkpoints import Checkpoints
from segsuite.engine.callbacks.cityscapes import CityscapesReport
from segsuite.engine.task import SegmentationTask
from segsuite.engine.training import check_task, fit


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


@pytest.mark.parametrize(
    ("name", "allow", "near"),
    [
        ("test/miou_rare", [], None),
        ("test/class_iou", [], None),  # of callbacks=cityscapes
        ("train/loss", [], None),
        ("test/mio", ["theirs."], None),  # perhaps their callback's
        ("test/mio", [], "test/miou"),
        ("val/fwio", [], "val/fwiou"),
    ],
)
def test_figures_that_are_misspelt_are_found_before_training(name, allow, near):
    task = SimpleNamespace(class_groups=("rare", "rare"), optimisation=lambda max_steps: None)
    task.figures = SegmentationTask.figures.fget(task)
    settings = {"checkpoint": {"monitor": "val/miou"}}
    cfg = {"trainer": {"max_steps": 1}, "optimized_metric": name, "callbacks": settings}
    cfg = OmegaConf.create({**cfg, "allow": allow})
    report = CityscapesReport(folder="", categories={}, average_sizes={})
    trainer = SimpleNamespace(callbacks=[report])
    if near is None:
        return check_task(cfg, task, trainer)
    with pytest.raises(ConfigError, match=f"optimized_metric={name} .* did you mean `{near}`"):
        check_task(cfg, task, trainer)
