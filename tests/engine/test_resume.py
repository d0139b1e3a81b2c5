"""Killed, interrupted and resumed runs, as processes of their own."""

import csv
import json
from pathlib import Path

import pytest
import torch

from segsuite.core.checkpoint import read_checkpoint
from tests.engine.entry_points import only, run, start, training


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run left alone, and one that got SIGTERM at 11, 17 and 23, SIGKILL at 13; it went on."""
    logs = tmp_path_factory.mktemp("logs")
    # With averaged weights: an interrupt must save after the iteration was averaged in, too.
    # One begun by a shell, the others forked: neither hash seeds nor what is imported may matter.
    alone = start(training(logs, "name=alone", "callbacks=ema"))
    cut = training(logs, "name=cut", "callbacks=ema")

    before_validation, _, _ = run(cut, signal="11:15")
    assert before_validation == 143, "its iteration 12 is saved, its validation is owed"
    killed, _, _ = run([*cut, "resume=true"], signal="13:9")
    assert killed == -9
    after_kill = read_checkpoint(only(logs, "train/cut/*/checkpoints/last.ckpt"))["global_step"]
    assert after_kill == 12, "written before the validation at 12; the work of one step is lost"

    terminated, _, err = run([*cut, "resume=true"], signal="17:15")
    assert terminated == 143
    assert "resume=true" in err and "Traceback" not in err
    after_term = read_checkpoint(only(logs, "train/cut/*/checkpoints/last.ckpt"))["global_step"]
    assert after_term == 18, "the iteration in which the signal came is finished"

    last_iteration, _, _ = run([*cut, "resume=true"], signal="23:15")
    assert last_iteration == 143, "nothing is left to train, but the last validation is owed"

    ended, _, err = run([*cut, "resume=true"])
    assert ended == 0, err
    assert alone.wait(timeout=120) == 0
    return {name: only(logs, f"train/{name}/*") for name in ("alone", "cut")}


def last(folder: Path) -> dict:
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")


def optimizer_tensors(checkpoint: dict) -> list[torch.Tensor]:
    states = checkpoint["optimizer_states"][0]["state"]
    tensors = [value for state in states.values() for value in state.values()]
    assert tensors
    return tensors


def test_weights_are_the_same_bit_for_bit(runs):
    one, two = last(runs["alone"]), last(runs["cut"])
    assert one["global_step"] == two["global_step"] == 24
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, two["state_dict"][name]), name
    momenta = zip(optimizer_tensors(one), optimizer_tensors(two), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in momenta)


def test_the_best_checkpoint_is_the_same(runs):
    scores = [
        json.loads((folder / "checkpoints" / "best.json").read_text()) for folder in runs.values()
    ]
    assert scores[0] == scores[1]
    for folder, score in zip(runs.values(), scores, strict=True):
        best = read_checkpoint(folder / "checkpoints" / "best.ckpt")
        assert best["global_step"] == score["step"]


def test_figures_are_the_same_and_none_is_written_twice(runs):
    tables, tests = [], []
    for folder in (runs["alone"], runs["cut"]):
        with open(folder / "metrics.csv", newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert [int(row["step"]) for row in rows] == sorted({int(row["step"]) for row in rows})
        tables.append(
            [
                {k: v for k, v in row.items() if v and "per_second" not in k and "test/" not in k}
                for row in rows
                if row["train/loss"]
            ]
        )
        tests.append([row["test/miou"] for row in rows if row["test/miou"]])
    assert tables[0] == tables[1]
    assert any("val/miou" in row for row in tables[0])
    rates = [float(row["train/learning_rate"]) for row in tables[0]]
    assert len(rates) == 12 and min(rates) > 0, "in every row with a loss"
    assert rates[1:] == sorted(rates[1:], reverse=True), "poly, after two of warm-up"
    assert tests[0] == tests[1] and len(tests[0]) == 1


def test_the_run_stays_one_run(runs):
    record = json.loads((runs["cut"] / "run.json").read_text())
    assert len(record["starts"]) == 5
    assert record["starts"][0]["versions"]["torch"] == torch.__version__.split("+")[0]
    result = json.loads((runs["cut"] / "result.json").read_text())
    assert result["steps"] == 24 and result["optimized"] == result["metrics"]["test/miou"]


def test_checkpoints_carry_config_and_classes_as_plain_types(runs):
    checkpoint = last(runs["cut"])  # read with weights_only=True
    assert checkpoint["config"]["method"]["network"]["num_classes"] == 5
    assert checkpoint["config_source"]["method"]["network"]["num_classes"] == "${data.num_classes}"
    assert checkpoint["classes"]["names"][4] == "class 4"


def test_no_part_of_a_file_is_left(runs):
    leftovers = [path for folder in runs.values() for path in folder.rglob("*.part*")]
    # The killed process may have been writing; nothing else may leave anything.
    assert [path for path in leftovers if runs["alone"] in path.parents] == []
