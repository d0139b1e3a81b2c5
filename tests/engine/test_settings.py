"""Settings of the trainer: what Lightning has a use for passes, and all else is named."""

import os

import pytest
from omegaconf import open_dict

from segsuite.core.errors import ConfigError
from segsuite.engine import training
from segsuite.engine.launch import compose
from segsuite.engine.settings import check_run, check_trainer


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
    ],
)
def test_settings_that_are_valid_pass(settings):
    check_trainer(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"log_every_n_steps": -1}, "log_every_n_steps=-1"),
        ({"val_check_interval": 0.5, "check_val_every_n_epoch": None}, "val_check_interval=0.5"),
        ({"val_check_interval": 0.0, "check_val_every_n_epoch": 1}, "val_check_interval=0.0"),
        ({"val_check_interval": 1.5, "check_val_every_n_epoch": 1}, "val_check_interval=1.5"),
        ({"limit_train_batches": 0}, "limit_train_batches=0"),
        ({"limit_train_batches": 0.0}, "limit_train_batches=0.0"),
        ({"val_check_interval": 0.5, "check_val_every_n_epoch": 1}, "val_check_interval=0.5"),
        ({"val_check_interval": 5, "overfit_batches": 1}, "check_val_every_n_epoch=n"),
        ({"val_check_interval": 5, "limit_train_batches": 1}, "check_val_every_n_epoch=n"),
        ({"limit_train_batches": 0.5}, "limit_train_batches=0.5"),
        ({"overfit_batches": 0.5}, "overfit_batches=0.5"),
        ({"num_nodes": 2}, "processes of one machine only"),
        ({"num_nodes": 0}, "num_nodes=0"),
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
    with pytest.raises(ConfigError, match="optimized_metric=mine is no figure"):
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
        training.built_trainer(cpu)
