"""Settings of the trainer: what Lightning has a use for passes, and all else is named."""

import os

import pytest
from omegaconf import open_dict

from segsuite.core.errors import ConfigError, DataError
from segsuite.engine import training
from segsuite.engine.callbacks.cityscapes import CityscapesReport
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.run import Run
from segsuite.engine.launch.settings import (
    check_metrics,
    check_run,
    check_trainer,
    for_evaluation,
    tell_limits,
)
from segsuite.engine.trainer import built_trainer


@pytest.mark.parametrize(
    "settings",
    [
        {"log_every_n_steps": 0},
        {"val_check_interval": 1.0, "check_val_every_n_epoch": 1},
        {"val_check_interval": 1.0},  # Lightning counts by epochs unless told otherwise
        {"overfit_batches": 0.0, "limit_val_batches": 0.5},
        {"val_check_interval": 4000, "check_val_every_n_epoch": None},
        {"val_check_interval": "00:01:00:00"},
        {"limit_train_batches": 1.0},
        {"limit_train_batches": None, "num_nodes": 1},
        {"val_check_interval": 0.5, "check_val_every_n_epoch": None},
        {"val_check_interval": 0.5, "check_val_every_n_epoch": 1},
        {"max_time": {"hours": 1}, "profiler": "simple", "gradient_clip_val": float("inf")},
        {"profiler": {"_target_": "some.Profiler"}, "benchmark": True},
    ],
)
def test_settings_that_are_valid_pass(settings):
    check_trainer(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"log_every_n_steps": -1}, "log_every_n_steps=-1"),
        ({"val_check_interval": 0.0, "check_val_every_n_epoch": 1}, "val_check_interval=0.0"),
        ({"val_check_interval": 1.5, "check_val_every_n_epoch": 1}, "val_check_interval=1.5"),
        ({"limit_train_batches": 0}, "limit_train_batches=0"),
        ({"limit_train_batches": 0.0}, "limit_train_batches=0.0"),
        ({"val_check_interval": 5, "overfit_batches": 1}, "check_val_every_n_epoch=n"),
        ({"val_check_interval": 5, "limit_train_batches": 1}, "check_val_every_n_epoch=n"),
        ({"limit_train_batches": 0.5}, "limit_train_batches=0.5"),
        ({"overfit_batches": 0.5}, "overfit_batches=0.5"),
        ({"num_nodes": 2}, "processes of one machine only"),
        ({"num_nodes": 0}, "num_nodes=0"),
        ({"fast_dev_run": True}, "debug=smoke"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(settings, said):
    with pytest.raises(ConfigError, match=said):
        check_trainer(settings)


def test_the_first_of_several_mistakes_is_named_whatever_their_order():
    with pytest.raises(ConfigError, match="max_steps=0"):
        check_trainer({"num_nodes": 0, "overfit_batches": -1, "max_steps": 0})


def test_figures_of_other_peoples_callbacks_may_have_any_name():
    figures = ["optimized_metric=mine", "callbacks.checkpoint.monitor=mine"]
    with pytest.raises(ConfigError, match="optimized_metric=mine is no metric"):
        check_run(compose("train", figures))
    check_run(compose("train", [*figures, "allow=[ourlab.]"]))


def test_limits_that_are_taken_away_are_no_mistake():
    cfg = compose("train")
    with open_dict(cfg):
        del cfg.trainer.limit_val_batches, cfg.trainer.limit_test_batches
    check_run(cfg)


def test_processes_are_as_many_as_the_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    cpu = compose("train", ["trainer=cpu", "trainer.devices=3"]).trainer
    cpu.default_root_dir = "."
    with pytest.raises(ConfigError, match=r"trainer\.devices=3 .* there are 2 cores"):
        built_trainer(cpu)


@pytest.mark.parametrize("key", ["optimized_metric", "callbacks.checkpoint.monitor"])
def test_figures_that_nothing_logs_are_found_before_training(key):
    cfg = compose("train", [f"{key}=val/nope"])
    with pytest.raises(ConfigError, match=f"{key}=val/nope is not logged; of val/: macc, miou"):
        check_metrics(cfg, ["miou", "macc"])
    cfg = compose("train", [f"{key}=val/category_iou"])
    report = CityscapesReport(folder="", categories={}, average_sizes={})
    check_metrics(cfg, ["miou", "macc"], [report])
    with pytest.raises(ConfigError, match=f"{key}=val/category_iou"):
        check_metrics(cfg, ["miou", "macc"])


def test_an_evaluation_says_what_it_does_not_heed(caplog):
    usual = {"_target_": "lightning.Trainer", "max_steps": 160000, "precision": "bf16-mixed"}
    sharing = {"use_distributed_sampler": False}  # or ranks would share out images twice
    heeded = for_evaluation(usual | sharing | {"limit_val_batches": 3}, "val")
    assert set(heeded) == {"_target_", "precision", "limit_val_batches", *sharing}
    assert not caplog.records
    for_evaluation(usual | {"max_steps": 5, "gradient_clip_val": 1.0}, "val")
    assert "trainer.max_steps=5 trainer.gradient_clip_val=1.0 has no effect" in caplog.text


@pytest.mark.parametrize(("split", "other"), [("val", "test"), ("test", "val")])
def test_a_limit_of_the_split_that_is_not_evaluated_is_refused(split, other):
    for limit in (3, 1):  # 1 is one batch, and 1.0 all of them
        with pytest.raises(ConfigError, match=rf"type trainer\.limit_{split}_batches={limit}"):
            for_evaluation({f"limit_{other}_batches": limit}, split)
    assert for_evaluation({f"limit_{other}_batches": 1.0}, split)


@pytest.mark.parametrize(
    ("val", "test", "told"),
    [(3, None, 1), (3, 3, 0), (0, None, 0), (1.0, 2, 0), (1, 1.0, 1), (3, 1, 0)],
)
def test_a_limit_of_validations_alone_is_said(caplog, val, test, told):
    tell_limits({"limit_val_batches": val, "limit_test_batches": test})
    assert len(caplog.records) == told
    assert all(f"trainer.limit_test_batches={val} too" in r.getMessage() for r in caplog.records)


def test_a_test_split_that_is_not_there_is_found_before_training():
    little = ["data.reader.lengths={train:1,val:1}", "data.crop_size=[32,32]", "data.verify=false"]
    cfg = compose("train", [*little, "data.test_split=nope"])
    with pytest.raises(DataError, match="no split `nope`"):
        training.make_data(Run(cfg), None)
    cfg.trainer.limit_test_batches = 0
    training.make_data(Run(cfg), None)
