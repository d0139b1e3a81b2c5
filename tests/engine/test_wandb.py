"""Runs of Weights & Biases, offline, read back from their files."""

import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segsuite.core.errors import ConfigError
from segsuite.core.results import Entry, Metric, Record
from segsuite.engine.launch.record import record_of, run_id
from segsuite.engine.loggers import CsvLogger, WandbLogger
from segsuite.engine.loggers.journal import Journal
from segsuite.engine.loggers.masks import ClassBytes
from segsuite.engine.loggers.opened import opened
from segsuite.engine.loggers.records import class_scores, log_result
from tests.engine.wandb_files import quiet, read, runs


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    quiet(monkeypatch)


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
        theta, seed = run["config"]["method"]["pruning"]["theta"], run["config"]["seed"]
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
        job.log_record(written, {})
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
            pixels, truth = np.zeros((2, 3, 3), np.uint8), np.array([[0, 1, -1], [step, 1, 0]])
            masks = {"truth": truth, "prediction": truth[::-1]}
            job.log_masks("masks/0", pixels, masks, [f"class {n}" for n in range(300)], step=step)
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
    rows, labels = read(newest)["rows"], read(newest)["labels"]
    for key in ("images/0", "masks/0"):
        assert [step for step, row in rows.items() if has(row, key)] == [5, 11, 17, 23]
    kinds = ["class 0", "class 1", "class 5", "class 11", "class 17", "class 23"]
    assert labels["masks/0", "prediction"] == {255: "unlabelled", **dict(enumerate(kinds))}
    written = newest.parent / "files" / rows[17]["masks/0.masks.truth.path"]
    assert np.asarray(Image.open(written)).tolist() == [[0, 1, 255], [4, 1, 0]]


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
    kept = {
        step: {k: v for k, v in row.items() if not k.startswith(("images", "masks"))}
        for step, row in run["rows"].items()
    }
    return dict(sorted(kept.items()))


def has(row: dict, name: str) -> bool:
    return any(key.startswith(f"{name}.") for key in row)


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


ODD = 'it\'s a "<b>" & 50 % / ' + "long " * 60


def test_odd_names_are_logged_as_they_are_and_cut_where_wandb_refuses_them(tmp_path):
    """Quotes, brackets, slashes, spaces, and more than 300 characters."""
    folder = tmp_path / "a job's <folder>"
    folder.mkdir()
    with open(folder / "classes.csv", "w", newline="") as handle:
        rows = [["class", "iou", "pixels"], [ODD, 0.5, 9], ["St. B", 0.25, 3], ["absent", "", 0]]
        csv.writer(handle).writerows(rows)
    Image.new("RGB", (2, 2)).save(folder / "plot's <1>.png")
    metrics = {"test/miou": Metric(value=0.5), "gmacs": Metric(value=2.0, low=1.0, high=3.0)}
    entries = [Entry(name=ODD, metrics=metrics, settings={"size": [1, 2], "batch": "auto"})]
    record = record_of("train", ODD, typed=[ODD], entries=entries).to_dict()
    names = {"name": ODD, "group": ODD, "tags": [ODD, "", "b"], "job_type": ODD}
    job = WandbLogger(folder=str(folder), id=run_id(folder), **names)
    with opened([job], {"a.text": ODD, "a.b.c": [1, None], "a.b": {}}):
        job.log_metrics({"test/miou": 0.5}, step=7)
        log_result([job], record, folder, step=7, known={"test/miou"})
    (found,) = map(read, runs(folder))
    assert found["exit"] == 0 and found["config"]["a"]["text"] == ODD
    assert found["config"]["a"]["b"] == {"c": [1, None]} and found["config"]["a.b"] == {}
    assert [len(found[key]) for key in ("name", "group", "job_type")] == [128, 128, 64]
    assert found["name"].startswith(ODD[:119]) and [len(tag) for tag in found["tags"]] == [64, 1]
    row = found["rows"][7]
    assert row["test/miou"] == 0.5 and row["gmacs"] == 2.0
    assert row[f"iou/{ODD}"] == 0.5 and row["iou/St. B"] == 0.25 and "iou/absent" not in row
    assert row["tables/record.nrows"] == 1 and row["tables/classes.nrows"] == 3
    assert any(key.startswith("plots/plot's <1>") for key in row)
    media = next(folder.glob("wandb/offline-run-*/files/media"))
    (table,) = (json.loads(path.read_text()) for path in media.rglob("record*.table.json"))
    columns = ["name", "size", "batch", "test/miou", "gmacs", "gmacs (low)", "gmacs (high)"]
    assert table == {"columns": columns, "data": [[ODD, "[1, 2]", "auto", 0.5, 2.0, 1.0, 3.0]]}


@pytest.mark.parametrize("project", ["", "a/b", "p" * 129])
def test_a_project_that_wandb_refuses_is_refused_at_once(tmp_path, project):
    with pytest.raises(ConfigError, match=r"logger\.wandb\.project"):
        logger(tmp_path, project=project)


def test_of_many_classes_the_commonest_are_logged_and_the_others_are_told(tmp_path, caplog):
    caplog.set_level("INFO")
    with open(tmp_path / "classes.csv", "w", newline="") as handle:
        rows = [[f"class {n}", n / 1284, n] for n in range(1284)]
        csv.writer(handle).writerows([["class", "iou", "pixels"], *rows])
    scores = class_scores(tmp_path / "classes.csv")
    assert list(scores)[:2] == ["iou/class 1283", "iou/class 1282"] and len(scores) == 200
    assert scores["iou/class 1283"] == 1283 / 1284
    assert "of 1284 classes the 200 with the most pixels" in caplog.text
    assert class_scores(tmp_path / "none.csv") == {}


def test_masks_of_a_thousand_classes_have_numbers_that_never_change():
    names = [f"class {n}" for n in range(1284)]
    classes, labels = ClassBytes(), np.array([[1283, -1], [700, 1283]])
    first = classes.numbered(labels, names)
    assert first.tolist() == [[1, 255], [0, 1]] and first.dtype == np.uint8
    assert classes.names == {0: "class 700", 1: "class 1283", 255: "unlabelled"}
    again = ClassBytes()
    again.restore(classes.names)
    assert again.numbered(np.array([3, 1283]), names).tolist() == [2, 1]
    assert again.numbered(np.arange(1284), names).max() == 254
    assert again.names[254] == "other classes" and again.names[1] == "class 1283"
    few = ClassBytes()
    assert few.numbered(np.array([150, 3, -7]), names[:151]).tolist() == [150, 3, 255]
