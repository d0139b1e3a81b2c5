"""`python -m segsuite.report PATH...`."""

import json

import pytest

from segsuite.report import main as report
from tests.engine.entry_points import called
from tests.reporting.made import sweep


def test_paths_stand_by_themselves_whatever_is_in_them(tmp_path, capfd):
    folder = sweep(tmp_path / "sweeps" / "it's a <sweep>, really")
    job = min(folder.iterdir())
    assert "=" in job.name
    out, logs = f"output={tmp_path / 'out'}", f"paths.logs={tmp_path / 'logs'}"
    assert called(report, str(folder), out, "baseline=windows=1,seed=1", logs) == 0
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (said["trainings"], said["finished"], said["problems"]) == (4, 4, [])
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"report.html", "report.md", "report.csv"}
    assert "# it's a \\<sweep\\>, really" in (tmp_path / "out" / "report.md").read_text()
    assert called(report, str(job), str(job / "images"), logs) == 0
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[-1])["trainings"] == 1
    assert "images holds no run" not in err and "report: " in err


def test_mistakes_end_in_one_paragraph(tmp_path, capfd):
    logs = f"paths.logs={tmp_path / 'logs'}"
    assert called(report, logs) == 2
    assert "name folders of runs" in capfd.readouterr().err
    assert called(report, str(tmp_path), logs) == 2
    assert "there is no run in" in capfd.readouterr().err
    assert called(report, str(sweep(tmp_path / "sweeps" / "a")), "baseline=b", logs) == 2
    assert "name one of: windows=0,seed=0" in capfd.readouterr().err
    assert called(report, "nowhere", logs) == 2
    assert "nowhere is not there" in capfd.readouterr().err


def test_what_wandb_is_asked_for_is_checked_first(tmp_path, capfd):
    folder, logs = str(sweep(tmp_path / "sweeps" / "a")), f"paths.logs={tmp_path / 'logs'}"
    assert called(report, folder, "wandb=dashboard", logs) == 2
    assert "type wandb=workspace" in capfd.readouterr().err
    assert called(report, folder, "wandb_save=true", logs) == 2
    assert "saves nothing without wandb=workspace" in capfd.readouterr().err
    pytest.importorskip("wandb_workspaces")
    assert called(report, folder, "wandb=workspace", logs) == 2
    assert "train them with logger=wandb" in capfd.readouterr().err
