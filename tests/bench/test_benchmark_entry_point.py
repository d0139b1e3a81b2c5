"""The entry point as typed: tables, files, and one line of JSON at the end."""

import json
import sys
from pathlib import Path

import pytest

from segsuite import benchmark
from segsuite.core import results
from tests.engine.wandb_files import quiet, read, runs

MICRO = "method/backbone=vit_micro method.sharing.windows=2 method.pruning.after=[2,5]"


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *typed: str) -> None:
    always = [f"paths.logs={folder}", f"hydra.run.dir={folder}", "hydra/job_logging=none"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *always, *typed])
    benchmark.main()


def test_compares_experiments_and_ends_with_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    quiet(monkeypatch)
    run(
        monkeypatch,
        tmp_path,
        f"experiments=['segvit_vitt method/backbone=vit_micro','cts_dtop_vitt_static {MICRO}']",
        "data=scenes",
        "data.num_workers=0",
        "size=[64,64]",
        "images=2",
        "batch_sizes=[1,2]",
        "rounds=2",
        "warm_up=1",
        "device=cpu",
        "logger=wandb",
    )
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    dense, hybrid = last["networks"].values()
    assert last["baseline"] == "segvit_vitt method/backbone=vit_micro"
    assert hybrid["gmacs_without_policy"] < dense["gmacs_without_policy"]
    assert hybrid["gmacs_closed_form_without_policy"] == hybrid["gmacs_without_policy"]
    assert [stage["mean"] for stage in hybrid["tokens"]] == [10, 8, 6]
    assert set(dense["batch"]) == {"1", "2"}
    written = json.loads((tmp_path / "result.json").read_text())
    assert len(written["networks"][last["baseline"]]["parts"]) == 8 + 4
    assert (tmp_path / "breakdown.png").stat().st_size > 10_000
    record = results.read(tmp_path / "result.json")
    assert record.kind == "speed" and record.machine["device"] == "cpu" and record.config
    assert [entry.settings["batch"] for entry in record.entries] == [1, 2, 1, 2]
    entry = record.entries[-1]
    gmacs, ratio = entry.metrics["gmacs"], entry.metrics["network_times_as_fast"]
    assert gmacs.value == hybrid["gmacs"] and ratio.low <= ratio.value <= ratio.high
    assert entry.own["segvit"]["tokens"] == hybrid["tokens"]
    (of_wandb,) = map(read, runs(tmp_path))
    assert of_wandb["job_type"] == "speed" and of_wandb["exit"] == 0
    (row,) = of_wandb["rows"].values()
    assert row["tables/record.nrows"] == 4 and "plots/breakdown.count" in row
    assert "gmacs" not in row, "of several networks"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["experiments=[]"], "nothing to measure"),
        (["experiments=[segvit_vitt]", "rounds=0"], "rounds=0"),
        (["experiments=[segvit_vitt]", "device=gpu"], "`device=gpu` is not one of auto, cpu, cuda"),
        (["experiments=[segvit_vitt]", "batch_sizes=[]"], "batch_sizes"),
        (["experiments=[segvit_vitt]", "warm_up=-3"], "warm_up=-3"),
        (["experiments=[segvit_vitt]", "threads=0"], "threads=0"),
        (["experiments=[segvit_vitt]", "size=[512]"], "`size=[512]` does not fit"),
        (["experiments=[segvit_vitt]", "size=96"], "type size=[96,96]"),
        (["experiments=segvit_vitt"], "type experiments=[segvit_vitt]"),
        (["experiments=[segvit_vitt]", "batch_sizes=1"], "type batch_sizes=[1]"),
        (
            ["experiments=[segvit_vitt]", "size=[100,100]"],
            "of 64: size=[64, 64] or size=[128, 128]",
        ),
        (["probe=losses", "losses.classes=19"], "type probe.classes=[19]"),
    ],
)
def test_mistakes_end_in_one_paragraph(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    typed: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tmp_path, *typed)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed", ["method.backbone.weights=none", "method.loss.class_weights=[1,2]"]
)
def test_keys_of_networks_are_shown_where_they_belong(
    typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "experiments=[segvit_vitt]", typed)
    said = capsys.readouterr().err
    assert f"`{typed}` is about networks to be compared" in said
    assert f"""type 'overrides=["{typed}"]' for all experiments""" in said
