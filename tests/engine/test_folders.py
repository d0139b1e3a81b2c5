"""Names of runs, jobs and sweeps, and records that were damaged."""

import json
import threading
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from segsuite.core.errors import ConfigError
from segsuite.engine.launch import folders, held, record
from segsuite.engine.launch.resolvers import _sweep_folder, run_folder
from segsuite.engine.launch.sweep_table import swept_noted
from segsuite.train import main as train
from tests.engine.entry_points import called

JOB = ["experiment=cts_dtop_vitb", "data.root=/data/a", "method.pruning.theta=0.9", "seed=1"]


def test_a_jobs_folder_names_what_was_swept_alone(tmp_path):
    name = folders.job_folder(tmp_path, JOB, {"seed", "method.pruning.theta"})
    assert name.rsplit("-", 1)[0] == "theta=0.9,seed=1"
    other = folders.job_folder(tmp_path, [*JOB, "data=camvid"], {"seed", "method.pruning.theta"})
    assert other != name, "what is common to all jobs of a sweep tells it from another"


def test_a_job_is_the_same_however_its_sweep_was_typed(tmp_path):
    (tmp_path / folders.job_folder(tmp_path, JOB, {"seed"})).mkdir()
    extended = folders.job_folder(tmp_path, [*JOB[::-1], "run.swept=[x]"], {"experiment", "seed"})
    assert (tmp_path / extended).is_dir()


def test_folders_that_were_named_by_everything_are_gone_on_with(tmp_path):
    former = "theta=0.9,seed=1,root=-data-a,experiment=cts_dtop_vitb"
    digest = folders.job_name(JOB).rsplit("-", 1)[1]
    assert folders.job_name(JOB) == f"{former}-{digest}" and len(digest) == 6
    (tmp_path / f"{former}-{digest}").mkdir()
    assert folders.job_folder(tmp_path, JOB, {"seed"}) == f"{former}-{digest}"


def test_jobs_are_told_which_keys_are_swept():
    typed = ["-m", "experiment=a,b", "seed=range(3)", "data.crop_size=[32,48]", "method/head=x,y"]
    assert swept_noted(typed)[-1] == "run.swept=['experiment','seed','method/head']"
    assert swept_noted(typed[:1]) == typed[:1]


def test_two_runs_with_names_like_numbers_are_two(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("segsuite.engine.training.begin", lambda run: seen.append(run) or 1 / 0)
    for name in ("3.10", "3.1", "2024_05_01"):
        with pytest.raises(ZeroDivisionError):
            called(train, f"name={name}", f"paths.logs={tmp_path}")
    assert [run.config.name for run in seen] == ["3.10", "3.1", "2024_05_01"]
    assert [run.folder.parent.name for run in seen] == [run.config.name for run in seen]


ODD = """a/b \\ "c" 'd' <e> | ä""" + "x" * 300
"""What names and values may hold; longer than a file system takes."""


def test_odd_and_long_names_are_folders_that_are_told_apart(tmp_path):
    names = (ODD, f"{ODD}y", "<a>" * 100)
    jobs = [["seed=1", f"method.x={name!r}"] for name in names]
    jobs = [folders.job_folder(tmp_path, job, {"method.x"}) for job in jobs]
    assert max(map(len, jobs)) <= 91
    paths = [folders.fresh(tmp_path, name).parent for name in names]
    paths += [folders.sweep_folder(str(tmp_path), name, {}) for name in names]
    for path in (*paths, *(tmp_path / job for job in jobs)):
        path.mkdir(parents=True)  # would be refused if it were too long, or there already
        assert path.parent in (tmp_path, tmp_path / "sweeps")


def test_a_folder_is_one_process_s_at_a_time(tmp_path, caplog):
    with held.held(tmp_path) as first, held.held(tmp_path, wait=False) as second:
        assert first and not second
        waiting = threading.Thread(target=held.held(tmp_path).__enter__, daemon=True)
        waiting.start()
        waiting.join(timeout=0.05)
        assert waiting.is_alive() and "another process is at work there" in caplog.text
    waiting.join(timeout=10)
    assert not waiting.is_alive()


def test_ranks_of_torchrun_and_slurm_agree_on_a_new_folder(tmp_path, monkeypatch):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    variables |= {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    slurm = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "4711"}
    with monkeypatch.context() as torchrun:
        for name, value in variables.items():
            torchrun.setenv(name, value)
        one, other = (folders.fresh(tmp_path, "run") for _ in range(2))
        assert one == other and one.name.startswith("20")
        torchrun.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
        with pytest.raises(ConfigError, match=r"type hydra\.run\.dir=FOLDER"):
            folders.fresh(tmp_path, "run")
    assert folders.fresh(tmp_path, "run") != folders.fresh(tmp_path, "run"), "of its own"
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    assert folders.fresh(tmp_path, "run").name == "slurm-4711.0"


@pytest.mark.parametrize("folder", [None, "", True, 3])
def test_runs_do_not_go_to_a_folder_called_none(folder):
    with pytest.raises(ConfigError, match=r"paths.logs=.* is no folder; type paths.logs=FOLDER"):
        run_folder(folder, "train", "a", {}, False)
    with pytest.raises(ConfigError, match="is no folder"):
        _sweep_folder(folder, "a", {})


@pytest.mark.parametrize("key", ["logs", "data"])
def test_paths_that_are_taken_away_are_refused(key, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert called(train, f"paths.{key}=null") == 2
    err = capfd.readouterr().err
    assert f"paths.{key}=null is no folder" in err and err.count("\n") == 1
    assert not (tmp_path / "None").exists()


@pytest.mark.parametrize("content", ["", '{"score": 0.', "[1, 2]", "{}"])
@pytest.mark.parametrize("name", ["run.json", "config.yaml", "checkpoints/best.json"])
def test_damaged_records_are_named_before_anything_is_trained(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    with pytest.raises(ConfigError) as found:
        record.check_whole(tmp_path)
    said = str(found.value)
    assert str(path) in said and "delete it and type the same command again" in said
    path.unlink()
    record.check_whole(tmp_path)


def test_a_damaged_result_does_not_pass_for_a_finished_run(tmp_path):
    run = tmp_path / "run" / "1"
    (run / "checkpoints").mkdir(parents=True)
    (run / folders.LAST).touch()
    (run / folders.RESULT).touch()
    for asked in (lambda: folders.resumable(tmp_path, "run"), lambda: folders.recorded_result(run)):
        with pytest.raises(ConfigError, match=r"result\.json is empty: .*the final test alone"):
            asked()
    (run / folders.RESULT).write_text(json.dumps({"optimized": 0.5}))
    assert folders.recorded_result(run) == {"optimized": 0.5}


def test_what_a_run_goes_on_from_is_said_by_the_entry_point_that_began_it(tmp_path):
    for time_, noted in {"1": "found.json", "2": None, "3": "found.json"}.items():
        folder = tmp_path / "run" / time_
        folder.mkdir(parents=True)
        (folder / folders.RUN).write_text(json.dumps({folders.GOES_ON_FROM: noted, "starts": []}))
    (tmp_path / "run" / "1" / "found.json").touch()
    assert folders.resumable(tmp_path, "run").name == "1"
    (tmp_path / "run" / "3" / "checkpoints").mkdir()
    (tmp_path / "run" / "3" / folders.LAST).touch()
    assert folders.resumable(tmp_path, "run").name == "1", "it goes on from another file"
    (tmp_path / "run" / "2" / "checkpoints").mkdir()
    (tmp_path / "run" / "2" / folders.LAST).touch()
    assert folders.resumable(tmp_path, "run").name == "2"


def test_resume_takes_the_newest_unfinished_run(tmp_path):
    for time_, files in {"1": ["last"], "2": ["last"], "3": ["last", "result"], "4": []}.items():
        folder = tmp_path / "run" / time_
        folder.mkdir(parents=True)
        for file in files:
            path = folder / (folders.LAST if file == "last" else Path(folders.RESULT))
            path.parent.mkdir(exist_ok=True)
            path.write_text("{}")
    assert folders.resumable(tmp_path, "run").name == "2"
    for number, day in {9: "2026-11-29", 10: "0999-01-01"}.items():  # of Slurm, by their start
        folder = tmp_path / "run" / f"slurm-{number}.0"
        (folder / "checkpoints").mkdir(parents=True)
        (folder / folders.LAST).touch()
        (folder / folders.RUN).write_text(json.dumps({"starts": [{"time": f"{day}T10:00:00"}]}))
    assert folders.resumable(tmp_path, "run").name == "slurm-9.0"
    with pytest.raises(ConfigError, match="no unfinished run"):
        folders.resumable(tmp_path, "other")
