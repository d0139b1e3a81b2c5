"""What is made up for when a run is resumed."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from segsuite.core.checkpoint import save_checkpoint
from segsuite.core.errors import ConfigError
from segsuite.engine.callbacks.checkpoints import Checkpoints
from segsuite.engine.callbacks.cityscapes import CityscapesReport
from segsuite.engine.callbacks.table import is_final
from segsuite.engine.evaluators import SemanticEvaluator
from segsuite.engine.fitting import final_metrics, finish, fit
from segsuite.engine.launch import record
from segsuite.engine.launch.run import Run
from segsuite.engine.training import check_task
from tests.toy import toy_classes


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
        callbacks=[Checkpoints(folder=str(tmp_path), monitor="val/miou", mode="max")],
        callback_metrics={"val/miou": 0.5},
        is_global_zero=True,
        strategy=SimpleNamespace(barrier=lambda name: None),
        fit=lambda *_, **__: saved(24),
        validate=lambda *_, **__: asked.append(1),
    )
    resumed = None if stopped_at is None else SimpleNamespace(path=last, step=stopped_at)
    fit(trainer, SimpleNamespace(network=network), None, resumed)
    assert len(asked) == validations
    assert (tmp_path / "best.ckpt").exists() == bool(validations)


def test_figures_of_a_validation_before_the_run_was_resumed_are_in_its_result(tmp_path):
    """Validated at 18 of 24 iterations and resumed at 20: no further validation is made."""
    callback = Checkpoints(folder=str(tmp_path / "checkpoints"), monitor="val/miou", mode="max")
    trainer = SimpleNamespace(
        state=SimpleNamespace(fn="fit"),
        sanity_checking=False,
        callbacks=[callback],
        callback_metrics={"val/miou": math.nan, "val/pacc": 0.5, "train/loss": 3.0},
        global_step=18,
        is_global_zero=True,
        strategy=SimpleNamespace(barrier=lambda name: None, broadcast=lambda value: value),
        test=lambda *_, **__: None,
    )
    callback.on_validation_end(trainer, None)
    record.check_whole(tmp_path)  # a score that is no number is no damage
    trainer.callback_metrics = {"train/loss": 2.0, "test/miou": 0.25}
    network = torch.nn.Linear(1, 1)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    save_checkpoint({"global_step": 20, "state_dict": weights}, callback.last)
    run = SimpleNamespace(config=OmegaConf.create({"final": "best"}), folder=tmp_path)
    figures = final_metrics(run, trainer, SimpleNamespace(network=network), None)
    assert math.isnan(figures.pop("val/miou")) and figures.pop("checkpoint").endswith("last.ckpt")
    assert figures == {"val/pacc": 0.5, "train/loss": 2.0, "test/miou": 0.25}


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
    classes = replace(toy_classes(2), groups=("rare", "rare"))
    task = SimpleNamespace(
        metric_names=SemanticEvaluator(classes=classes).metric_names,
        classifies_pixels=True,
        optimisation=lambda max_steps: (None, None),
        trains_all_weights=True,
        resolved=lambda metric: metric,
    )
    settings = {"checkpoint": {"monitor": "val/miou"}}
    cfg = {"trainer": {"max_steps": 1}, "optimized_metric": name, "callbacks": settings, "data": {}}
    run = Run(OmegaConf.create({**cfg, "allow": allow}))
    report = CityscapesReport(folder="", categories={}, average_sizes={})
    trainer = SimpleNamespace(callbacks=[report], world_size=1)
    if near is None:
        return check_task(run, task, trainer)
    with pytest.raises(ConfigError, match=f"optimized_metric={name} .* did you mean `{near}`"):
        check_task(run, task, trainer)


@pytest.mark.parametrize(
    ("split", "checkpoint", "said"),
    [
        ("val", "best.ckpt", "validation score of the checkpoint that validation chose; "),
        ("val", "last.ckpt", "validation score of the last checkpoint; "),
        ("test", "best.ckpt", "score of split test, by the checkpoint that validation chose"),
    ],
)
def test_the_final_figure_is_called_what_it_is(tmp_path, caplog, split, checkpoint, said):
    caplog.set_level("INFO")
    trainer = SimpleNamespace(
        is_global_zero=True,
        global_step=1,
        loggers=[],
        datamodule=SimpleNamespace(test_split=split),
        strategy=SimpleNamespace(root_device="cpu"),
        profiler=SimpleNamespace(dirpath=tmp_path, filename="profile"),
    )
    (tmp_path / "fit-profile.txt").touch()
    cfg = OmegaConf.create({"name": "some", "optimized_metric": "test/miou"})
    run = SimpleNamespace(config=cfg, folder=tmp_path, typed=[])
    figures = {"test/miou": 0.5, "checkpoint": f"checkpoints/{checkpoint}"}
    evaluator = SimpleNamespace(higher_is_better=True)
    task = SimpleNamespace(resolved=lambda metric: metric, evaluator=evaluator, network=None)
    assert finish(run, figures, trainer, task).own["optimized"] == 0.5
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["test"].startswith(said) and result["metrics"] == {"test/miou": 0.5}
    assert f"test/miou ({said}" in caplog.text
    assert f"the profiler's report: {tmp_path / 'fit-profile.txt'}" in caplog.text


def test_a_validation_that_a_training_makes_up_prints_no_second_table():
    training = SimpleNamespace(checkpoint_callbacks=[object()])
    evaluation = SimpleNamespace(checkpoint_callbacks=[])
    final = {"fit": (False, False), "validate": (False, True), "test": (True, True)}
    for stage, wanted in final.items():
        training.state = evaluation.state = SimpleNamespace(fn=stage)
        assert (is_final(training), is_final(evaluation)) == wanted, stage
