"""Lengths in epochs and shares of them, as Lightning users type them, in iterations."""

from types import SimpleNamespace

import pytest

from segsuite.core.errors import ConfigError
from segsuite.engine.iterations import (
    check_processes,
    check_validated,
    count_iterations,
    evaluated,
    without_epochs,
)
from segsuite.engine.trainer import built_trainer

CPU = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 1, "max_steps": 100}


class Data:
    """367 images in batches of 8: 46 batches a pass."""

    batch_size, test_split = 8, "val"

    def images(self, split: str) -> int:
        return {"train": 367, "val": 1}[split]


def counted(settings, data=None):
    settings = CPU | {"check_val_every_n_epoch": None} | settings
    trainer = built_trainer(without_epochs(settings), logger=False)
    count_iterations(trainer, settings, Data() if data is None else data)
    return trainer


@pytest.mark.parametrize(
    ("settings", "batches"),
    [
        ({"val_check_interval": 0.5}, 23),
        ({"val_check_interval": 1.0}, 46),
        ({"val_check_interval": 0.001}, 1),
        ({"val_check_interval": 0.5, "check_val_every_n_epoch": 1}, 23),
        ({"val_check_interval": 500}, 500),
        ({"val_check_interval": 0.5, "limit_train_batches": 10}, 5),
        ({"val_check_interval": 0.5, "accumulate_grad_batches": 2}, 23),
    ],
)
def test_a_share_of_a_pass_over_the_training_images_is_so_many_batches(settings, batches):
    assert counted(settings).val_check_interval == batches


def test_a_whole_epoch_that_ends_is_lightnings_own():
    settings = {"val_check_interval": 1.0, "check_val_every_n_epoch": 2, "overfit_batches": 3}
    settings = without_epochs(CPU | settings)
    assert settings["val_check_interval"] == 1.0


def test_batches_of_a_pass_are_those_of_all_processes():
    trainer = SimpleNamespace(num_devices=2, val_check_interval=1)
    count_iterations(trainer, {"val_check_interval": 0.5}, Data())
    assert trainer.val_check_interval == 11  # of 23, of 2 x 8 images


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"max_epochs": 50},
            r"type trainer\.max_steps=2300 instead \(50 x the 367",
        ),
        ({"max_epochs": 50, "accumulate_grad_batches": 4}, r"trainer\.max_steps=575 instead"),
        ({"min_epochs": 2}, r"type trainer\.min_steps=92 instead"),
        ({"check_val_every_n_epoch": 2}, r"type trainer\.val_check_interval=92 instead"),
    ],
)
def test_epochs_without_end_are_refused_with_the_iterations_to_type(settings, said):
    with pytest.raises(ConfigError, match=said):
        counted(settings)


def test_epochs_that_end_and_no_limit_of_them_pass():
    counted({"max_epochs": 3, "limit_train_batches": 10})
    counted({"check_val_every_n_epoch": 50, "overfit_batches": 1})
    counted({"max_epochs": -1})


def test_data_that_do_not_tell_their_size_are_trained_by_iterations():
    with pytest.raises(ConfigError, match=r"type a number of iterations, such as"):
        counted({"val_check_interval": 0.5}, data=object())
    with pytest.raises(ConfigError, match=r"type trainer\.max_steps=N instead"):
        counted({"max_epochs": 50}, data=object())


def test_fewer_images_than_processes_are_refused():
    trainer = SimpleNamespace(num_devices=2)
    splits = evaluated({"limit_test_batches": 0}, Data())
    with pytest.raises(ConfigError, match=r"split `val` has 1 image .* type trainer\.devices=1"):
        check_processes(trainer, Data(), *splits)
    check_processes(trainer, Data(), "train")
    assert evaluated({"limit_val_batches": 0, "limit_test_batches": 0}, Data()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"val_check_interval": 101}, "type trainer.val_check_interval=100, or .*=test/miou"),
        ({"limit_val_batches": 0, "val_check_interval": 50}, "trainer.limit_val_batches=0"),
        ({"val_check_interval": 101, "accumulate_grad_batches": 2}, None),
        ({"val_check_interval": 100}, None),
        ({"val_check_interval": 0.5}, None),
    ],
)
def test_a_figure_of_validations_that_never_come_is_refused_before_training(settings, said):
    trainer = counted(settings)
    check_validated(trainer, "test/miou")
    if said is None:
        return check_validated(trainer, "val/miou")
    with pytest.raises(ConfigError, match=f"optimized_metric=val/miou would never .*{said}"):
        check_validated(trainer, "val/miou")
