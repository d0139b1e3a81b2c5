"""Runs of Weights & Biases, offline, read back from their files."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from segsuite.core.results import Entry, Metric, Record
from segsuite.engine.launch.record import run_id
from segsuite.engine.loggers import CsvLogger, WandbLogger
from segsuite.engine.loggers.journal import Journal
from segsuite.engine.loggers.opened import opened
from tests.engine.wandb_files import read, runs


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    for setting in ("SILENT", "DISABLE_GIT", "X_DISABLE_STATS", "X_DISABLE_META"):
        monkeypatch.setenv(f"WANDB_{setting}", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)


def logger(folder: Path, **given) -> WandbLogger:
    return WandbLogger(folder=str(folder), id=run_id(folder), name=folder.name, **given)


def test_six_jobs_of_a_process_are_six_finished_runs(tmp_path):
    for theta in (0.8, 0.9):
        for seed in (0, 1, 2):
            job = logger(tmp_path / f"theta={theta},seed={seed}", group="thetas")
            with opened([job], {"method.pruning.theta": theta, "seed": seed}):
                job.log_metrics({"train/loss": theta + seed, "epoch": 0}, step=0)
                job.log_metrics({"test/miou": theta - seed}, step=1)
    found = [read(path) for path in runs(tmp_path)]
    assert len(found) == 6 and {run["group"] for run in found} == {"thetas"}
    assert all(run["exit"] == 0 for run in found)
    for run in found:
        theta, seed = run["config"]["method.pruning.theta"], run["config"]["seed"]
        assert run["name"] == f"theta={theta},seed={seed}"
        first, second = run["rows"].values()
        assert first == {"train/loss": theta + seed, "trainer/global_step": 0}
        assert second == {"test/miou": theta - seed, "trainer/global_step": 1}
    assert len({run["name"] for run in found}) == len({run["id"] for run in found}) == 6
    assert "WANDB_MODE" not in os.environ, "another run of the process may be online"


def test_the_record_of_results_stands_in_the_summary(tmp_path):
    entry = Entry(name="job", metrics={"test/miou": Metric(value=0.5)}, own={"segvit": {"a": [1]}})
    kind = {"kind": "train", "name": "job", "config": ["seed=1"], "machine": {"cores": 2}}
    written = Record(**kind, commit={"commit": "abc", "dirty": False}, entries=[entry]).to_dict()
    job = logger(tmp_path / "job")
    with opened([job], {}):
        job.log_metrics({"test/miou": 0.5}, step=3)
        job.log_record(written)
    (found,) = map(read, runs(tmp_path))
    again = Record.from_dict(found["summary"]["record"], source="W&B")
    assert again == Record.from_dict(written, source="here")


def test_a_run_that_fails_is_a_run_that_failed(tmp_path):
    job = logger(tmp_path / "job")
    with pytest.raises(ZeroDivisionError), opened([job], {}):
        job.log_metrics({"train/loss": 1.0}, step=3)
        raise ZeroDivisionError
    (found,) = map(read, runs(tmp_path))
    assert found["exit"] == 1 and found["rows"][3]["train/loss"] == 1.0


def trained(job: WandbLogger, image: Path, begin: int, end: int) -> None:
    """What a training logs: a loss every 2nd iteration, a validation every 6th, a test."""
    for step in range(begin, end):
        if step % 2:
            job.log_metrics({"train/loss": step / 7}, step=step)
        if step % 6 == 5:
            job.log_image("images/0", [str(image)], step=step)
            job.log_metrics({"val/miou": step / 9}, step=step)
    if end == 24:
        job.log_metrics({"test/miou": 0.5}, step=24)


@pytest.mark.parametrize(("killed_at", "saved_at"), [(15, 12), (24, 18)])
def test_a_resumed_run_is_whole_with_equal_steps(tmp_path, killed_at, saved_at):
    image = tmp_path / "cut" / "images" / "0.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(image)
    alone, cut, again = (logger(tmp_path / name) for name in ("alone", "cut", "cut"))
    trained(alone, image, 0, 24)
    trained(cut, image, 0, killed_at)
    cut.finish()  # as wandb's own process does when this one is gone
    journal = tmp_path / "cut" / "wandb" / "rows.jsonl"
    with open(journal, "a") as handle:
        handle.write('{"step": 15, "figu')  # killed while it wrote
    with opened([again], {}):
        trained(again, image, saved_at, 24)
    alone.finish()
    whole, (*_, newest) = runs(tmp_path / "alone"), runs(tmp_path / "cut")
    expected, found = without_images(read(*whole)), without_images(read(newest))
    assert expected == found and list(found)[-1] == 24
    images = [step for step, row in read(newest)["rows"].items() if has_image(row)]
    assert images == [5, 11, 17, 23]


def test_a_run_begun_without_wandb_brings_its_rows_from_the_csv(tmp_path):
    begun = CsvLogger(folder=str(tmp_path / "run"))
    for step in (1, 3, 5):
        begun.log_metrics({"train/loss": float(step)}, step=step)
    resumed = [CsvLogger(folder=str(tmp_path / "run")), logger(tmp_path / "run")]
    with opened(resumed, {}):
        for either in resumed:
            either.log_metrics({"train/loss": 4.0, "val/miou": 0.5}, step=4)
    (found,) = map(read, runs(tmp_path))
    losses = {step: row["train/loss"] for step, row in found["rows"].items()}
    assert losses == {1: 1.0, 3: 3.0, 4: 4.0}, "5 has not happened"


def without_images(run: dict) -> dict:
    kept = {s: {k: v for k, v in r.items() if "images" not in k} for s, r in run["rows"].items()}
    return dict(sorted(kept.items()))


def has_image(row: dict) -> bool:
    return any(key.startswith("images/0") for key in row)


def test_online_only_what_the_server_lacks_is_sent(tmp_path):
    sent = []
    before, now = logger(tmp_path / "run"), logger(tmp_path / "run")
    server = SimpleNamespace(resumed=False, log=lambda row, step: None)
    before._experiment = server
    for step in (1, 3, 5):
        before.log_metrics({"train/loss": float(step)}, step=step)
    now._experiment = SimpleNamespace(
        resumed=True, starting_step=4, log=lambda row, step: sent.append((step, row))
    )
    now.log_metrics({"train/loss": 3.0}, step=3)  # again, since the checkpoint was of step 2
    assert sent == [], "the server has got it"
    now.log_metrics({"val/miou": 0.5}, step=3)  # that had not come any more
    assert sent == [(4, {"val/miou": 0.5, "trainer/global_step": 3})]
    now.log_metrics({"train/loss": 5.0}, step=5)
    assert sent[1:] == [(5, {"train/loss": 5.0, "trainer/global_step": 5})]


def test_a_journal_forgets_what_has_not_happened(tmp_path):
    journal = Journal(tmp_path / "wandb" / "rows.jsonl")
    assert journal.go_on_at(3) == [] and not journal.path.exists()
    for step in (1, 3, 5):
        journal.add(step, figures={"a": float("nan")})
    assert [row["step"] for row in journal.go_on_at(3)] == [1, 3]
    assert [row["step"] for row in journal.go_on_at(9)] == [1, 3]
