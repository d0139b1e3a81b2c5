"""A panoptic training that was killed and goes on.

Evaluation by two processes: tests/panoptic/test_cityscapes_files.py.
"""

import csv
import json
from pathlib import Path

import pytest
import torch

from segsuite.core.checkpoint import read_checkpoint
from tests.engine.entry_points import command, only, run
from tests.engine.test_panoptic import SMALL

LONGER = (
    "trainer.max_steps=6",
    "trainer.val_check_interval=6",
    "data.reader.lengths={train: 4, val: 3}",
    "callbacks.checkpoint.every=2",
    "callbacks.images=null",
    "method.grouping.threshold=0.02",  # so soon, heat is low everywhere
    "allow=[tests.]",
    "+callbacks.killed={_target_: tests.engine.killed.Killed}",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A training left alone, and one that was killed in its iteration 5."""
    logs = tmp_path_factory.mktemp("logs")
    line = command("train", *SMALL, *LONGER, f"paths.logs={logs}")
    code, _, err = run([*line, "name=alone"])
    assert code == 0, err
    killed, _, _ = run([*line, "name=cut"], signal="5:9")
    assert killed == -9
    code, _, err = run([*line, "name=cut", "resume=true"])
    assert code == 0, err
    return {name: only(logs, f"train/{name}/*") for name in ("alone", "cut")}


def scores_of(file: Path) -> list[dict[str, str]]:
    with open(file, newline="") as handle:
        return list(csv.DictReader(handle))


def test_weights_and_panoptic_quality_are_those_of_a_run_left_alone(runs):
    one, two = (read_checkpoint(f / "checkpoints" / "last.ckpt") for f in runs.values())
    assert one["global_step"] == two["global_step"] == 6
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, two["state_dict"][name]), name
    first, second = (scores_of(folder / "panoptic.csv") for folder in runs.values())
    assert first == second and sum(int(row["fp"]) for row in first) > 3
    results = [json.loads((f / "result.json").read_text())["metrics"] for f in runs.values()]
    assert results[0]["test/pq"] == results[1]["test/pq"]
