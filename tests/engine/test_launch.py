"""Entry points called in this process: errors, names, sweeps."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra._internal.core_plugins import basic_launcher
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf
from torch._utils import ExceptionWrapper

from segsuite.core import results
from segsuite.core.errors import ConfigError, DataError
from segsuite.engine.launch import folders, sweeps
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.mistakes import explain
from segsuite.engine.launch.ranks import _has_ranks, as_rank
from segsuite.train import main as train
from tests.engine.entry_points import ROOT, run, training


@pytest.fixture
def entry_point(monkeypatch, capfd):
    """Runs the train entry point with a command line; exit code (0 when it returns) and stderr."""

    def call(line: list[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", line[2:])  # without "python -m"
        try:
            train()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capfd.readouterr().err

    return call


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method.network.widht=4", "did you mean `method.network.width`"),
        ("method/sharing=cts", "no part of this method, but of method=segvit"),
        ("trainr=cpu", "did you mean `trainer`"),
        ("network.width=4", "did you mean `method.network"),
        ("logger.wandb.offline=true", "but there is with logger=wandb; type that too"),
        ("data.root=", "data.root= names no folder"),
        ("--experiment=quickstart", "typed without dashes: experiment=quickstart"),
        ("--trainer", "typed without dashes: trainer=VALUE"),
        ("cpu", "`cpu` is no setting: they are typed KEY=VALUE"),
        ("=3", "`=3` is no setting"),
        ("logger=cvs", "did you mean `csv`"),
        ("hydra/launcher=slow", "the launcher slow is not installed; in the suite's folder type"),
        ("data.root.deep=1", "data.root"),
        ("method.optimizer._partial_=nan", "`method.optimizer._partial_=nan` is not one of"),
        ("data=-inf", "`data=-inf` chooses nothing"),
        ("paths=[1]", "`paths=[1]` chooses nothing"),
        ("hydra/launcher=3", "`hydra/launcher=3` chooses nothing; leave it out"),
        ("method.network.width=" + "x" * 8000, "does not fit: ToySegmenter needs a whole number"),
        ("run=3", "`run=3` does not fit: it is a group of keys"),
        ("seed=[1", "seed"),
        ("seed=0,5", "or seed=0.5 if a number was meant"),
        ("trainer.precision=FP16", "type trainer.precision=16-mixed"),
        ("+method.network.extra=1", "`method.network.extra` is not an argument of ToySegmenter"),
        ("resume=true", "no unfinished run"),
        ("resume=maybe", "resume=maybe is neither true nor false"),
        ("ckpt_path=/nowhere.ckpt", "no checkpoint at /nowhere.ckpt"),
        ("init_from=3", "no checkpoint at 3"),
        ("data.crop_size=[30,48]", "data.crop_size=[24, 48] or data.crop_size=[32, 48]"),
        ("callbacks.checkpoint.mode=most", "is not one of max, min"),
    ],
)
def test_mistakes_end_in_one_paragraph(entry_point, tmp_path, override, said):
    code, err = entry_point(training(tmp_path, override))
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert err.count("\n") == 1, "one paragraph"


def test_a_group_that_entry_points_fill_in_is_not_chosen():
    """As `evaluate` does from ckpt_path=; Hydra has it then, but there is no file of it."""
    node = {"name": "some"}
    ConfigStore.instance().store(group="checkpoint", name="loaded", node=node)
    with pytest.raises(ConfigError, match=r"`checkpoint=0\.5` chooses nothing; leave it out"):
        compose("evaluate", ["checkpoint=0.5"])


def test_defects_of_ours_keep_their_traceback(entry_point, tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("segsuite.engine.training.make_data", broken)
    with pytest.raises(ZeroDivisionError):
        entry_point(training(tmp_path))


def test_what_was_handled_when_a_defect_came_up_does_not_hide_it():
    def raised(cause: bool) -> Exception:
        try:
            try:
                raise ConfigError("a mistake")
            except ConfigError as mistake:
                if cause:
                    raise RuntimeError("wrapped") from mistake
                return [][1]
        except Exception as error:
            return error

    assert explain(raised(cause=False), "train", []) is None
    assert explain(raised(cause=True), "train", []) == "a mistake"


@pytest.mark.parametrize("value", ["/odd/loop", "z" * 300, "a b"])
def test_what_the_system_says_of_a_typed_path_is_one_sentence(value):
    error = OSError(40, "Too many levels of symbolic links", f"{value}/masks/1.png")
    said = explain(error, "train", ["seed=1", f"data.root='{value}'"])
    assert said.startswith(f"`data.root={value[:250]}") and "symbolic links" in said
    assert explain(error, "train", ["seed=1"]) is None, "not of what was typed"


def test_mistakes_found_by_a_loaders_worker_come_without_its_traceback():
    try:
        raise DataError("a.png cannot be decoded")
    except DataError:
        caught = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(DataError, match="Original Traceback") as found:
        caught.reraise()
    assert explain(found.value, "train", []) == "a.png cannot be decoded"


def test_further_processes_say_what_went_wrong_with_them(entry_point, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    code, err = entry_point(training(tmp_path, "final=worst"))
    assert code == 2 and err.startswith("segsuite (process 1): error: `final=worst`")


@pytest.mark.parametrize(
    ("launcher", "variables"),
    [
        ("torchrun", {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2"}),
        ("srun", {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}),
        ("mpirun", {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}),
    ],
)
def test_launchers_of_processes_start_the_ranks_of_one_training(
    entry_point, tmp_path, monkeypatch, launcher, variables
):
    """As many as its trainer has, and neither sweeps nor what has no trainer."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    logs = tmp_path / "logs"
    single = training(logs, f"hydra.run.dir={logs / 'run'}")
    refused = [training(logs, multirun=True), *([single] if launcher == "mpirun" else [])]
    for line in refused:
        code, err = entry_point(line)
        assert code == 2 and f"{launcher} has started this 2 times" in err and "trainer=ddp" in err
    if launcher != "mpirun":
        code, err = entry_point(single)
        assert code == 2 and "2 times, but the trainer is one of 1; type trainer=ddp" in err
        assert _has_ranks("train") and _has_ranks("evaluate") and not _has_ranks("benchmark")
    monkeypatch.setenv("RANK", "1")
    assert entry_point(refused[0]) == (2, ""), "the first process tells"
    assert list(tmp_path.iterdir()) == []
    further = as_rank(["seed=1"], "train") if launcher != "mpirun" else ["hydra.output_subdir=null"]
    assert "hydra.output_subdir=null" in further, "the first one writes what Hydra does"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_final_test_leaves_a_checkpoint_to_go_on_from(
    entry_point, tmp_path, monkeypatch, number
):
    from tests.toy import ToyTask

    line = training(tmp_path, "trainer.max_steps=2", "trainer.val_check_interval=2")
    with monkeypatch.context() as patch:
        patch.setattr(ToyTask, "test_step", lambda *_: signal.raise_signal(number))
        code, err = entry_point(line)
    assert code == 128 + number
    assert "interrupted; saved in" in err and "resume=true" in err and "Traceback" not in err
    (last,) = tmp_path.glob("train/toy/*/checkpoints/last.ckpt")
    code, err = entry_point([*line, "resume=true"])
    assert code == 0 and f"going on from {last}, iteration 2" in err
    assert (last.parents[1] / "result.json").exists()


def test_settings_that_are_taken_away_are_no_traceback(entry_point, tmp_path):
    code, err = entry_point(training(tmp_path, "~trainer.accelerator", "trainer.devices=abc"))
    assert code == 2 and "the trainer says: " in err and "Traceback" not in err
    with pytest.raises(ConfigError, match=r"there is no config key `trainer\.accelerator`"):
        compose("train", ["~trainer.accelerator", "trainer.accelerator=cpu"])


def test_every_job_that_failed_is_told_at_the_end_with_its_log(entry_point, tmp_path, monkeypatch):
    """A mistake in one sentence, a defect with its traceback; of a first batch, then of another."""
    from tests.toy import ToyTask

    monkeypatch.setattr(ToyTask, "losses", lambda *_: {}["a defect"])
    batches = "hydra.sweeper.max_batch_size=1"
    bad = training(tmp_path, "name=bad", "data.crop_size=[30,48],[32,48]", batches, multirun=True)
    code, err = entry_point(bad)
    mistake, defect = sorted((tmp_path / "sweeps" / "bad").glob("*/train.log"))
    assert code == 2 and err.splitlines()[-5] == (
        "segsuite: error: 2 jobs failed; the same command runs what is missing:"
    )
    assert [line.strip() for line in err.splitlines()[-4:]] == [
        f"{mistake.parent.name} failed: images of 30x48 were given, but this network needs sides "
        "that are multiples of 8; set data.crop_size=[24, 48] or data.crop_size=[32, 48]",
        f"see {mistake}",
        f"{defect.parent.name} failed: KeyError('a defect')",
        f"see {defect}",
    ]
    assert "Traceback" not in mistake.read_text() and "Traceback" in defect.read_text()
    (mistake.parent / "result.json").write_text("{")
    code, err = entry_point(bad)
    assert code == 2 and "2 jobs failed" in err and "result.json is damaged" in err


def test_only_folders_of_refused_runs_are_discarded(tmp_path):
    for name in ("refused", "begun"):
        for file in (".hydra/config.yaml", "train.log", folders.RUN, folders.CONFIG):
            path = tmp_path / "logs" / "train" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "logs/train/begun/metrics.csv").touch()
    for name in ("refused", "begun"):
        folders.discard_if_bare(tmp_path / "logs/train" / name, up_to=tmp_path / "logs")
    assert [path.name for path in (tmp_path / "logs/train").iterdir()] == ["begun"]
    (tmp_path / "logs/train/begun/metrics.csv").unlink()
    folders.discard_if_bare(tmp_path / "logs/train/begun", up_to=tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "earlier", ["train.log", "run.json", "config.yaml", "notes.log/monday", ".hydra/notes"]
)
def test_a_refused_run_leaves_what_was_in_its_folder_before(entry_point, tmp_path, earlier):
    path = tmp_path / "mine" / earlier
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    bad = training(tmp_path, f"hydra.run.dir={tmp_path / 'mine'}", "final=worst")
    assert entry_point(bad)[0] == 2
    assert path.read_text().startswith("{}")


def test_folders_named_as_logs_and_folders_that_are_gone_are_no_traceback(tmp_path):
    (tmp_path / "run" / "kept.log").mkdir(parents=True)
    folders.discard_if_bare(tmp_path / "run", up_to=tmp_path)
    folders.discard_if_bare(tmp_path / "gone", up_to=tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "kept.log"]


def test_the_log_of_a_run_that_was_interrupted_early_stays(entry_point, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "segsuite.engine.training.make_data", lambda *_: signal.raise_signal(signal.SIGTERM)
    )
    assert entry_point(training(tmp_path))[0] == 128 + signal.SIGTERM
    assert list(tmp_path.glob("train/toy/*/train.log"))


def test_help_answers_at_once_and_lists_experiments():
    start = time.perf_counter()
    line = [sys.executable, "-m", "segsuite.train", "--help"]
    out = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert time.perf_counter() - start < 1.5
    assert "quickstart" in out and "A small hybrid" in out
    assert "camvid" in out


def test_a_start_says_within_two_seconds_that_it_loads_and_leaves_stdout_alone():
    """To a file or a pipe as well; and nothing heavy is imported by then."""
    code = (
        "import sys, segsuite.train as train, segsuite.engine.launch.entry_point as launch;"
        "launch._hydra = lambda name: lambda job: lambda: print('torch' in sys.modules);"
        "sys.argv[1:] = ['experiment=quickstart']; train.main()"
    )
    start = time.perf_counter()
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert time.perf_counter() - start < 2
    assert made.stdout == "False\n"
    assert (
        made.stderr.startswith("segsuite.train: importing torch") and made.stderr.count("\n") == 1
    )


def test_entry_points_import_nothing_heavy():
    code = (
        "import sys, segsuite.train, segsuite.evaluate, segsuite.predict;"
        "print([m for m in ('torch', 'lightning', 'matplotlib', 'wandb') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_sweep_killed_in_its_middle_and_typed_again_ends_as_one_never_killed(
    entry_point, tmp_path
):
    jobs = ("name=cut", "trainer.max_steps=6,14", "callbacks.checkpoint.every=4")
    code, _, err = run(training(tmp_path / "cut", *jobs, multirun=True), signal="10:9")
    assert code == -9, err
    (finished,) = (tmp_path / "cut" / "sweeps" / "cut").glob("*/result.json")
    before = {path: path.stat().st_mtime_ns for path in finished.parent.rglob("*")}

    code, err = entry_point(training(tmp_path / "cut", *jobs, multirun=True))
    assert code == 0 and "iteration 8" in err, err
    assert f"{finished.parent.name} has finished before" in err
    assert before == {path: path.stat().st_mtime_ns for path in finished.parent.rglob("*")}
    assert entry_point(training(tmp_path / "whole", *jobs, multirun=True))[0] == 0
    cut, whole = (
        {
            path.parent.name: json.loads(path.read_text())["metrics"]
            for path in (tmp_path / logs).glob("sweeps/cut/*/result.json")
        }
        for logs in ("cut", "whole")
    )
    assert cut == whole and len(whole) == 2


@pytest.fixture
def elsewhere(monkeypatch):
    """Has Hydra launch jobs as joblib, submitit and Ray do; the processes that they are to be."""
    processes = []

    class Process:
        """The first is killed, the others have finished at once."""

        def __init__(self, line, **_):
            processes.append(line)

        def wait(self, timeout):
            (folder,) = (a[15:-1] for a in processes[-1] if a.startswith('hydra.run.dir="'))
            if len(processes) == 1:
                return -signal.SIGKILL
            (Path(folder) / "result.json").write_text('{"optimized": 0.25}')
            return 0

    monkeypatch.setattr(sweeps, "Popen", Process)
    module = basic_launcher.__name__
    kind = type("Elsewhere", (basic_launcher.BasicLauncher,), {"__module__": module})
    monkeypatch.setattr(basic_launcher, "Elsewhere", kind, raising=False)
    monkeypatch.setitem(Plugins.instance().class_name_to_class, f"{module}.Elsewhere", kind)
    return f"hydra.launcher._target_={module}.Elsewhere", processes


def test_launchers_with_processes_lose_no_more_than_the_job_whose_process_ends(
    entry_point, elsewhere, tmp_path
):
    launcher, processes = elsewhere
    line = training(tmp_path, "name=far", "seed=0,1", "trainer.max_steps=3", multirun=True)
    code, err = entry_point([*line, launcher])
    killed, other = sorted(log.parent for log in (tmp_path / "sweeps/far").glob("*/train.log"))
    assert code == 2 and (other / "result.json").exists()
    assert f"{killed.name} failed: its process was ended by signal 9" in err
    assert f"see {killed / 'train.log'}" in err

    code, err = entry_point(processes[0])  # as a launcher does
    assert code == 0, err
    config = OmegaConf.load(killed / "config.yaml")
    assert config.run.sweep == "far" and config.run.label == killed.name
    assert json.loads((killed / "result.json").read_text())["steps"] == 3
    assert entry_point([*line, launcher])[0] == 0 and len(processes) == 2, "both have finished"


def test_a_failed_job_does_not_stop_the_sweep(entry_point, tmp_path):
    bad = training(
        tmp_path, "name=bad", "data.crop_size=[30,48],[32,48]", "trainer.max_steps=3", multirun=True
    )
    code, err = entry_point(bad)
    assert code == 2 and "data.crop_size" in err
    (result,) = (tmp_path / "sweeps" / "bad").glob("*/result.json")
    with open(tmp_path / "sweeps" / "bad" / "sweep.csv", newline="") as handle:
        failed, finished = csv.DictReader(handle)
    assert list(failed) == ["job", "data.crop_size", "test/miou", "status"]
    assert failed["data.crop_size"] == "[30,48]" and failed["status"] == "failed"
    assert finished["status"] == "finished" and finished["job"] == result.parent.name
    told = {e.name: e for e in results.read(tmp_path / "sweeps" / "bad" / "sweep.json").entries}
    assert told[failed["job"]].metrics["test/miou"].value is None
    assert told[finished["job"]].settings == {"data.crop_size": "[32,48]", "status": "finished"}
    assert str(told[finished["job"]].metrics["test/miou"].value) == finished["test/miou"]
    assert float(finished["test/miou"]) == json.loads(result.read_text())["optimized"]
    assert result.parent.name.startswith("crop_size=-32,48-"), "named by what was swept alone"


def test_init_from_takes_weights_and_nothing_else(entry_point, tmp_path):
    code, err = entry_point(training(tmp_path, "name=first", "trainer.max_steps=3"))
    assert code == 0, err
    (first,) = tmp_path.glob("train/first/*/checkpoints/last.ckpt")
    line = training(tmp_path, "name=second", "trainer.max_steps=2", f"init_from={first}")
    code, err = entry_point(line)
    assert code == 0, err
    (result,) = tmp_path.glob("train/second/*/result.json")
    assert json.loads(result.read_text())["steps"] == 2


def test_job_names_are_short_unique_and_do_not_depend_on_order():
    one = folders.job_name(["experiment=cts_vitb", "method.sharing.windows=103", "seed=1"])
    assert one.startswith("windows=103,seed=1,experiment=cts_vitb-")
    assert one == folders.job_name(["seed=1", "method.sharing.windows=103", "experiment=cts_vitb"])
    long = [f"method.a_rather_long_name_{i}=[{i},'x/y']" for i in range(20)]
    name = folders.job_name(long)
    assert len(name) <= 80 + 7 and "/" not in name and "'" not in name
    assert name != folders.job_name([*long[:-1], "method.a_rather_long_name_19=[0]"])


def test_what_does_not_change_a_job_is_not_in_its_name():
    base = folders.job_name(["seed=1"])
    assert base == folders.job_name(["seed=1", "sweep=x", "resume=true", "paths.logs=/tmp"])
    assert base != folders.job_name(["seed=1", "data=camvid"])


def test_compose_names_what_is_misspelt():
    with pytest.raises(ConfigError, match=r"did you mean `trainer\.max_steps`"):
        compose("train", ["trainer.max_stps=4"])
