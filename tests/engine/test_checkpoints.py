"""When checkpoints are written, which of them is the best, and that every run leaves one."""

import json
import math
from types import SimpleNamespace

import pytest

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import ConfigError
from segsuite.core.files import write_json
from segsuite.engine.callbacks import checkpoints
from segsuite.engine.callbacks.checkpoints import Checkpoints
from segsuite.engine.launch.rebuild import numbers_of
from segsuite.train import main as train
from tests.engine.entry_points import called, only, training


class Clock:
    """A clock that goes when it is told to; `saving` is how long a checkpoint takes."""

    def __init__(self, monkeypatch, saving: float) -> None:
        self.now, self.saving, self.saved = 0.0, saving, []
        monkeypatch.setattr(checkpoints.time, "monotonic", lambda: self.now)
        self.trainer = SimpleNamespace(
            global_step=0,
            max_steps=10_000,
            accumulate_grad_batches=1,
            val_check_batch=None,
            world_size=1,
            save_checkpoint=self.save,
        )

    def save(self, path, weights_only) -> None:
        self.saved.append(self.trainer.global_step)
        self.now += self.saving

    def train(self, callback: Checkpoints, *, steps: int, seconds: float) -> list[int]:
        callback.on_train_start(self.trainer, None)
        for index in range(steps):
            self.trainer.global_step += 1
            self.now += seconds
            callback.on_train_batch_end(self.trainer, None, None, None, index)
        return self.saved


@pytest.mark.parametrize(
    ("given", "saving", "saved"),
    [
        ({"minutes": 2.0}, 0.0, [12, 24, 36]),  # iterations of 10 seconds
        ({"minutes": 2.0, "every": 10}, 0.0, [10, 20, 30]),  # each begins the two minutes anew
        ({"minutes": None}, 0.0, []),
        ({"minutes": 2.0}, 4.0, [12, 32]),  # no more than a fiftieth of the time
    ],
)
def test_checkpoints_are_written_by_minutes_too(tmp_path, monkeypatch, given, saving, saved):
    clock = Clock(monkeypatch, saving)
    assert clock.train(Checkpoints(folder=str(tmp_path), **given), steps=36, seconds=10.0) == saved


def validated(callback: Checkpoints, score: float, step: int) -> list[str]:
    """The names of what a validation of that score writes."""
    written = []
    trainer = SimpleNamespace(
        state=SimpleNamespace(fn="fit"),
        sanity_checking=False,
        callback_metrics={"val/miou": score},
        global_step=step,
        is_global_zero=True,
        strategy=SimpleNamespace(barrier=lambda name: None),
        save_checkpoint=lambda path, weights_only: written.append(path.name),
    )
    callback.on_validation_end(trainer, None)
    return written


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    callback = Checkpoints(folder=str(tmp_path), monitor="val/miou", mode="max")
    assert validated(callback, math.nan, 5) == []
    unknown = {"figures": {"val/miou": None}}
    assert json.loads((tmp_path / "best.json").read_text()) == {"validated": 5, **unknown}
    assert validated(callback, 0.25, 10) == ["best.ckpt"], "the first number is better"
    assert validated(callback, math.nan, 15) == []
    assert json.loads((tmp_path / "best.json").read_text()) == {
        "score": 0.25,
        "monitor": "val/miou",
        "step": 10,
        "validated": 15,
        **unknown,
    }


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"score": "high"}', '{"validated": [3]}'])
def test_a_damaged_record_of_the_best_is_named(tmp_path, text):
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(ConfigError, match=r"best\.json is .*: the next validation then counts"):
        Checkpoints(folder=str(tmp_path), monitor="val/miou", mode="max").best_score()


def test_results_are_json_whatever_was_measured(tmp_path):
    figures = {"miou": math.nan, "loss": math.inf, "pacc": 0.5, "rows": [math.nan, 1, "a"]}
    write_json(tmp_path / "result.json", figures)
    found = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert found == {"miou": None, "loss": None, "pacc": 0.5, "rows": [None, 1, "a"]}
    assert numbers_of({"a": math.inf, "b": math.nan, "c": 1}) == {"a": None, "b": None, "c": 1.0}


def test_a_run_without_a_validation_leaves_its_last_checkpoint_as_the_best(tmp_path, capfd):
    line = training(tmp_path, "trainer.max_steps=3", "trainer.limit_val_batches=0")
    assert called(train, *line[3:]) == 0
    said = "".join(capfd.readouterr())
    assert "no validation chose a best checkpoint" in said and "best.ckpt is the last one" in said
    folder = only(tmp_path, "train/toy/*/checkpoints")
    assert (folder / "best.ckpt").read_bytes() == (folder / "last.ckpt").read_bytes()
    assert read_checkpoint(folder / "best.ckpt")["global_step"] == 3
    result = json.loads((folder.parent / "result.json").read_text())
    assert result["checkpoint"].endswith("last.ckpt") and "last checkpoint" in result["test"]

    wider = training(tmp_path, "trainer.max_steps=6", "method.network.width=16", "name=wider")
    assert called(train, *wider[3:], f"ckpt_path={folder / 'last.ckpt'}") == 2
    (said,) = [text for text in capfd.readouterr().err.splitlines() if "error" in text]
    assert "does not fit ToySegmenter" in said and f"init_from={folder / 'last.ckpt'}" in said
    for key in ("ckpt_path", "init_from"):  # of a variable of the shell that is not set
        assert called(train, *line[3:], f"{key}=") == 2
        assert f"{key}= names no file; type {key}=FILE" in capfd.readouterr().err
