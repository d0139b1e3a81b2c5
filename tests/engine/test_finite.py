"""A training that diverges is stopped, named, and leaves what was good."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import DivergedError
from segsuite.core.finite import not_finite
from segsuite.engine.callbacks import finite
from segsuite.engine.callbacks.finite import FiniteTraining
from segsuite.train import main as train
from tests.engine.entry_points import called, only, training
from tests.host_syncs import host_syncs


def trainer(*, scaler: object = None, processes: int = 1) -> SimpleNamespace:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.25)
    return SimpleNamespace(
        global_step=0,
        max_steps=100,
        world_size=processes,
        accumulate_grad_batches=1,
        optimizers=[optimizer],
        precision_plugin=SimpleNamespace(scaler=scaler),
        state=SimpleNamespace(fn="fit"),
    )


class Run:
    """Iterations of a network whose losses and gradients are given."""

    def __init__(self, tmp_path, **how) -> None:
        self.trainer, self.network = trainer(**how), nn.Linear(2, 2)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        self.callback = FiniteTraining(last=tmp_path / "last.ckpt")
        self.callback.on_train_start(self.trainer, self.network)

    def step(self, loss: float = 1.0, gradient: float = 1.0, *, index: int = 0) -> None:
        for parameter in self.network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        self.callback.on_before_optimizer_step(self.trainer, self.network, self.optimizer)
        self.trainer.global_step += 1
        outputs = {"loss": torch.tensor(loss), "losses": {"ce": torch.tensor(loss)}}
        self.callback.on_train_batch_end(self.trainer, self.network, outputs, None, index)

    def save(self) -> None:
        checkpoint = {"state_dict": self.network.state_dict()}
        self.callback.on_save_checkpoint(self.trainer, self.network, checkpoint)


@pytest.mark.parametrize(
    ("loss", "gradient", "said"),
    [
        (math.nan, 1.0, "ce nan, gradient norm 2.449"),
        (math.inf, 1.0, "ce inf"),
        (1.0, math.nan, "ce 1, gradient norm nan"),
        (1.0, math.inf, "gradient norm inf"),
    ],
)
def test_the_first_iteration_that_is_not_finite_is_named(tmp_path, loss, gradient, said):
    run = Run(tmp_path)
    run.step()
    run.save()
    with pytest.raises(DivergedError) as found:
        run.step(loss, gradient)
    text = str(found.value)
    assert "diverged in iteration 2 of 100: " in text and said in text
    assert "Nothing had been saved before" in text and "optimizer (here up to 0.25)" in text
    assert "\n" not in text


def test_what_the_device_has_not_told_yet_is_waited_for_before_anything_is_saved(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(finite._Measured, "arrived", lambda _: False)
    for look in ("save", "validation", "end"):
        run = Run(tmp_path)
        run.step(math.nan)
        run.step(math.nan)  # goes on: nobody knows yet
        with pytest.raises(DivergedError, match="in iteration 1 of 100"):
            if look == "save":
                run.save()
            elif look == "validation":
                run.callback.on_validation_start(run.trainer, run.network)
            else:
                run.callback.on_train_end(run.trainer, run.network)


def test_measuring_never_makes_the_host_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(finite._Measured, "arrived", lambda _: False)
    run = Run(tmp_path)
    losses = {"loss": torch.tensor(1.0), "losses": {"ce": torch.tensor(1.0)}}
    for parameter in run.network.parameters():
        parameter.grad = torch.ones_like(parameter)

    def measured() -> None:
        run.callback.on_before_optimizer_step(run.trainer, run.network, run.optimizer)
        run.callback.on_train_batch_end(run.trainer, run.network, losses, None, 0)

    assert host_syncs(measured) == []
    assert host_syncs(run.save), "but before a checkpoint it does"


def test_loss_scaling_may_skip_some_iterations_but_not_all(tmp_path):
    run = Run(tmp_path, scaler=object())
    for _ in range(finite._SKIPPED):
        run.step(1.0, math.inf)
    run.step()
    for _ in range(finite._SKIPPED):
        run.step(1.0, math.inf)
    with pytest.raises(
        DivergedError, match=r"iteration 34 of 100 and the 32 after it, all skipped"
    ):
        run.step(1.0, math.inf)


def test_gathered_gradients_that_overflow_in_every_iteration_are_noticed(tmp_path):
    """The losses of the batches between two iterations are finite all the while."""
    run = Run(tmp_path, scaler=object())
    between = {"loss": torch.tensor(1.0)}
    with pytest.raises(DivergedError, match="iteration 1 of 100 and the 32 after it"):
        for _ in range(40):
            run.callback.on_train_batch_end(run.trainer, run.network, between, None, 0)
            run.step(1.0, math.inf, index=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_weights_that_no_network_works_with_are_not_saved(tmp_path, value):
    run = Run(tmp_path)
    run.step()
    run.network.bias.data[1] = value
    with pytest.raises(DivergedError, match=r"after iteration 1 of 100 1 of 2 weights .* bias"):
        run.save()


def test_a_mask_of_minus_infinity_is_no_divergence(tmp_path):
    run = Run(tmp_path)
    run.network.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    run.callback.on_train_start(run.trainer, run.network)
    run.step()
    run.save()
    assert not_finite(run.network.state_dict()) == ["mask"]


def test_a_run_that_diverges_ends_with_a_paragraph_and_keeps_the_checkpoint_of_before(
    tmp_path, capfd
):
    """The weights of iteration 6 are the first that nothing can be computed with."""
    broken = "method.schedule._target_=tests.toy.breaks_after"
    line = training(tmp_path, "trainer.max_steps=8", broken, "~method.schedule.warmup")
    assert called(train, *line[3:]) == 2
    said = [text for text in capfd.readouterr().err.splitlines() if "diverged" in text]
    assert len(said) == 1 and "diverged in iteration 7 of 8: ce nan" in said[0]
    folder = only(tmp_path, "train/toy/*")
    last = folder / "checkpoints" / "last.ckpt"
    assert f"{last} is of before, and finite" in said[0]
    assert read_checkpoint(last)["global_step"] == 5
    assert not (folder / "result.json").exists() and not (last.parent / "best.ckpt").exists()
    short = training(tmp_path, "trainer.max_steps=6", broken, "~method.schedule.warmup", "name=end")
    assert called(train, *short[3:]) == 2, "the last iteration spoils the weights alone"
    assert "after iteration 6 of 6" in capfd.readouterr().err
    last = only(tmp_path, "train/end/*/checkpoints/last.ckpt")
    assert read_checkpoint(last)["global_step"] == 5
