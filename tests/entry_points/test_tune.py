"""Settings that are looked for: what is asked, what goes on after a kill, what is told."""

import csv
import json
import math
import sys

import pytest

from segsuite.engine.launch import sweeps, trials
from segsuite.tune import main as tune
from tests.engine.entry_points import ROOT, TOY, called

FLAGS = ("--config-dir", str(ROOT / "tests" / "conf"), *TOY)
ASKED = ("method.optimizer.lr=tag(log,interval(1e-4,1e-1))", "seed=range(2)", "name=some")


class Killed(BaseException):
    pass


@pytest.fixture
def trained(monkeypatch):
    """No trainings, but what they would find: best is lr=0.01, and seed=1 costs something."""
    pytest.importorskip("optuna")
    began = []

    def run_as_process(name, arguments, folder, **_):
        assert name == "train" and f'hydra.run.dir="{folder}"' in arguments
        began.append(arguments)
        if len(began) == trained.killed_at:
            raise Killed
        if len(began) == trained.fails_at:
            raise sweeps.JobFailed("ended with exit code 1")
        of = dict(a.partition("=")[::2] for a in arguments if "=" in a)
        value = -abs(math.log10(float(of["method.optimizer.lr"])) + 2) - 0.1 * int(of["seed"])
        found = None if len(began) in trained.undefined else value
        result = {"optimized": found, "optimized_metric": "test/miou"}
        (folder / "result.json").write_text(json.dumps(result))

    trained.began, trained.killed_at, trained.fails_at, trained.undefined = began, 0, 0, ()
    monkeypatch.setattr(trials, "run_as_process", run_as_process)
    return trained


def rows(logs) -> list[dict[str, str]]:
    with open(logs / "sweeps" / "tune-some" / "sweep.csv", newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_search_that_is_killed_goes_on_to_the_same_trials(trained, tmp_path, capfd):
    whole, cut = (["tune.random=3", *FLAGS, *ASKED, f"paths.logs={tmp_path / d}"] for d in "ab")
    assert called(tune, *whole, "tune.trials=7") == 0
    told = capfd.readouterr().out
    best = max(rows(tmp_path / "a"), key=lambda row: float(row["test/miou"]))
    assert f"best of 7: test/miou = {float(best['test/miou']):.4g}" in told
    assert f"method.optimizer.lr={best['method.optimizer.lr']} seed={best['seed']}" in told
    trained.began.clear()
    trained.killed_at = 4
    with pytest.raises(Killed):
        called(tune, *cut, "tune.trials=7")
    trained.killed_at = 0
    assert called(tune, *cut, "tune.trials=7") == 0
    assert rows(tmp_path / "a") == rows(tmp_path / "b"), "the fourth is trained again, no other"
    assert len(trained.began) == 8 and trained.began[3] == trained.began[4]
    assert called(tune, *cut, "tune.trials=8") == 0 and len(trained.began) == 9


def test_an_interval_may_begin_at_nothing(trained, tmp_path):
    asked = ["method.optimizer.lr=interval(0,0.5)", "tune.trials=1", "seed=0", "name=some"]
    line = [*FLAGS, *asked, f"paths.logs={tmp_path}"]
    assert called(tune, *line) == 0 and len(trained.began) == 1


def test_trials_that_fail_are_told_and_run_again(trained, tmp_path, capfd):
    line = [*FLAGS, *ASKED, "tune.trials=3", f"paths.logs={tmp_path}"]
    trained.fails_at = 2
    assert called(tune, *line) == 2
    failed = trained.began[1]
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "failed", "finished"]
    assert "1 job failed" in capfd.readouterr().err
    assert called(tune, *line) == 0 and trained.began[3:] == [failed]
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 3


def test_a_training_whose_metric_is_undefined_is_a_trial_like_any_other(trained, tmp_path, capfd):
    trained.undefined = (1, 2)
    line = [*FLAGS, *ASKED, "tune.trials=3", f"paths.logs={tmp_path}"]
    assert called(tune, *line) == 0 and len(trained.began) == 3
    statuses = [row["status"] for row in rows(tmp_path)]
    assert statuses == ["without a number", "without a number", "finished"]
    assert "best of 1:" in capfd.readouterr().out
    assert called(tune, *line) == 0 and len(trained.began) == 3


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["-m", "seed=0,1"], "leave -m out"),
        (["seed=1"], "there is nothing to look for; type a setting with several values"),
        (["seed=0,1", "trainer.max_stps=1"], "did you mean `trainer.max_steps`"),
        (["seed=0,1", "tune.trials=many"], "tune.trials=many is no number of at least 1"),
        (["method.optimizer.lr=interval(0.1,0.01)"], "type method.optimizer.lr=interval(0.01,0.1)"),
        (["method.optimizer.lrr=1e-3,1e-2"], "did you mean `method.optimizer.lr`"),
    ],
)
def test_searches_that_cannot_be_are_refused(typed, said, tmp_path, capfd):
    assert called(tune, *FLAGS, *typed, f"paths.logs={tmp_path / 'logs'}") == 2
    assert said in capfd.readouterr().err and not (tmp_path / "logs").exists()


def test_without_optuna_its_extra_is_named(tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert called(tune, *FLAGS, "seed=0,1", f"paths.logs={tmp_path / 'logs'}") == 2
    assert "pip install -e '.[sweeps]'" in capfd.readouterr().err


def test_experiments_are_looked_among_with_data_that_fit_them_alone(trained, tmp_path, capfd):
    """CamVid's folder is of the experiments' data, not of the scenes that are there without."""
    given = ("experiment='mobile_basic_camvid',hyctas_s_camvid", f"data.root={tmp_path}")
    given = (*given, "method.optimizer.lr=0.01,0.1", "seed=0", "tune.trials=3")
    assert called(tune, *given, f"paths.logs={tmp_path}") == 0, capfd.readouterr().err
    assert (tmp_path / "sweeps" / "tune-experiments" / "sweep.csv").is_file()
    for arguments in trained.began:
        chosen = [a for a in arguments if a.startswith("experiment=")]
        assert len(chosen) == 1
    assert len({str(a) for a in trained.began}) == 3
