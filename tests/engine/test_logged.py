"""A sweep as every logger has it, and an evaluation."""

import csv
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segsuite.engine.launch.run import Run
from segsuite.engine.loggers import WandbLogger
from segsuite.engine.result import write_and_log
from segsuite.evaluate import main as evaluate
from segsuite.train import main as train
from tests.engine.entry_points import ROOT, TOY, called
from tests.engine.wandb_files import quiet, read, runs

FLAGS = ("--config-dir", str(ROOT / "tests" / "conf"))
SHORT = (
    *("trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"),
    *("data.num_workers=0", "callbacks.images.count=1"),
)


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    """Those of a sweep of two jobs, which went to all loggers."""
    pytest.importorskip("tensorboard")
    logs = tmp_path_factory.mktemp("logs")
    swept = ("name=widths", "method.network.width=4,8", f"paths.logs={logs}", "logger=many")
    with pytest.MonkeyPatch.context() as patch:
        quiet(patch)
        assert called(train, *FLAGS, "-m", *TOY, *SHORT, *swept) == 0
    return logs


def job(logs: Path, width: int) -> Path:
    (found,) = logs.glob(f"sweeps/widths/width={width}-*")
    return found


def without_own(names) -> set[str]:
    """Without step and media."""
    media = ("images/", "masks/", "tables/", "plots/", "trainer/", "_hparams_", "step")
    return {name for name in names if not name.startswith(media)}


@pytest.mark.parametrize("width", [4, 8])
def test_a_job_of_a_sweep_is_a_run_of_its_own(logs, width):
    folder = job(logs, width)
    (found,) = map(read, runs(folder))
    assert found["exit"] == 0 and found["name"] == folder.name and found["group"] == "widths"
    assert found["job_type"] == "train" and found["tags"] == ["toy"]  # method and data alike
    assert found["config"]["method"]["network"]["width"] == width
    assert found["config"]["run"]["id"] == found["id"]
    assert found["summary"]["record"]["kind"] == "train"
    media = {key.partition(".")[0] for row in found["rows"].values() for key in row if "." in key}
    tables = {"tables/classes", "tables/confusion", "tables/record"}
    assert media == {"images/0", "masks/0", *tables}
    labels = found["labels"]["masks/0", "truth"]
    assert set(labels.values()) <= {"unlabelled", *(f"class {n}" for n in range(5))}


def test_all_loggers_carry_the_same_scalars(logs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = job(logs, 4)
    (found,) = map(read, runs(folder))
    of_wandb = {
        (name, step): value
        for step, row in found["rows"].items()
        for name, value in row.items()
        if name in without_own(row)
    }
    with open(folder / "metrics.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    of_csv = {
        (name, int(row["step"])): float(row[name])
        for row in rows
        for name in without_own(row)
        if row[name]
    }
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    of_tensorboard = {
        (name, event.step): event.value
        for name in without_own(events.Tags()["scalars"])
        if name != "epoch"
        for event in events.Scalars(name)
    }
    assert of_wandb == of_csv
    assert of_tensorboard == pytest.approx(of_csv)  # which keeps 32 bits
    names = {name for name, _ in of_csv}
    assert {"train/loss", "val/miou", "test/miou", "iou/class 3"} <= names


def test_one_command_sends_the_sweep(logs, capfd):
    """It is told when the sweep is typed again, too, and is one that wandb takes."""
    from wandb.cli.beta_sync import _find_wandb_files

    typed = ("name=widths", "method.network.width=4,8", f"paths.logs={logs}", "logger=many")
    assert called(train, *FLAGS, "-m", *TOY, *SHORT, *typed) == 0
    (given,) = re.findall(r"wandb sync (\S+)/\*/wandb$", capfd.readouterr().out, re.MULTILINE)
    how = {"skip_synced": True, "skip_online": True, "verbose": False}
    sent = _find_wandb_files(Path(given).glob("*/wandb"), **how)
    assert {path.resolve() for path in sent} == {path.resolve() for path in runs(logs)}


def test_an_evaluation_is_logged_when_asked_to(logs, tmp_path, monkeypatch, capfd):
    quiet(monkeypatch)
    given = (f"ckpt_path={job(logs, 8) / 'checkpoints' / 'best.ckpt'}", "allow=[tests.]")
    given = (*given, "trainer=cpu", f"paths.logs={tmp_path}", "logger=wandb")
    assert called(evaluate, *given) == 0
    (found,) = map(read, runs(tmp_path))
    assert found["job_type"] == "evaluate" and found["name"] == "widths" and found["exit"] == 0
    assert found["config"]["method"]["network"]["width"] == 8
    (row,) = found["rows"].values()
    assert {"val/miou", "iou/class 0", "tables/classes.nrows"} <= set(row)
    assert called(evaluate, *given, "logger.wandb.project=a/b", "split=nowhere") == 2
    assert "logger.wandb.project=a/b is no name" in capfd.readouterr().err, "before all else"


def test_what_wandb_does_not_take_is_written_all_the_same(tmp_path, monkeypatch, caplog):
    from wandb.errors import CommError

    def without_network(*_):
        raise CommError("no network")

    monkeypatch.setattr(WandbLogger, "log_hyperparams", without_network)
    logger = {"_target_": "segsuite.engine.loggers.WandbLogger", "id": "0", "name": "a"}
    logger["folder"] = folder = str(tmp_path)
    config = {"name": "a", "allow": [], "run": {"folder": folder}, "logger": {"wandb": logger}}
    write_and_log(Run(OmegaConf.create(config)), {}, kind="evaluate", entries=[])
    assert (tmp_path / "result.json").exists()
    assert f"W&B has not got the result, which is in {folder}: no network" in caplog.text


def test_the_workspace_names_what_the_runs_have_logged(logs):
    pytest.importorskip("wandb_workspaces")
    from segsuite.reporting.wandb_runs import logged_from
    from segsuite.reporting.workspace import report, to_json, workspace
    from tests.reporting.named import named, unlogged

    folders, found = [job(logs, 4), job(logs, 8)], [read(path) for path in runs(logs)]
    logged = logged_from(folders)
    assert logged.swept == ("method.network.width",) and logged.groups == ("widths",)
    assert logged.runs == {run["id"]: run["name"] for run in found}
    assert logged.headline == "test/miou" and len(logged.classes) == 5
    for made in (to_json(workspace(logged)), to_json(report(logged, text="widths"))):
        assert unlogged(made, found) == []
        assert {("config", "method.value.network.width"), ("logged", "masks/0")} <= {*named(made)}
