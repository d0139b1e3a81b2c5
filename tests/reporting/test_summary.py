"""What a comparison reads of runs, and how it tells what it cannot read."""

import json
import os

import pytest

from segsuite.core.errors import ConfigError
from segsuite.core.results import Entry, Metric
from segsuite.reporting.classes import confusion
from segsuite.reporting.columns import columns, front, mean, value
from segsuite.reporting.curves import thinned
from segsuite.reporting.finding import folders_of_runs
from segsuite.reporting.markdown import markdown
from segsuite.reporting.summary import summary
from tests.reporting.made import recorded, sweep, training


def read(*paths, baseline=None, images=24):
    return summary([str(path) for path in paths], baseline=baseline, images=images)


def test_trainings_of_other_seeds_are_one_setting_with_mean_and_spread(tmp_path):
    found = read(sweep(tmp_path / "sweeps" / "windows"))
    assert [t.name for t in found.trainings] == [
        f"windows={n},seed={seed}" for n in (0, 1) for seed in (0, 1)
    ]
    assert [setting.name for setting in found.settings] == ["windows=0", "windows=1"]
    second = found.settings[1].metrics["test/miou"]
    assert second.mean == pytest.approx(0.51) and second.count == 2
    assert second.deviation == pytest.approx(0.02 / 2**0.5)
    assert found.columns == ["method.windows", "seed"] and found.headline == "test/miou"
    assert found.differences == ["method.windows", "seed"]
    assert found.problems == [] and found.baseline == "windows=0,seed=0"


def test_the_papers_figure_stands_beside_ours_on_its_own_data_alone(tmp_path):
    for data in ("ade20k", "camvid"):
        choices = {"data": data, "experiment": "cts_vitt"}
        training(
            tmp_path / "train" / data / "now", miou=0.3, settings={"data": data}, choices=choices
        )
    here = read(tmp_path)
    (column,) = [c for c in columns(here) if c.key == "paper"]
    shown = {t.data: value(here, t, column) for t in here.trainings}
    assert shown == {"ade20k": pytest.approx(0.373), "camvid": None}
    (setting,) = [s for s in here.settings if "ade20k" in s.name]
    assert mean(here, setting, column)[0] == pytest.approx(0.373)


def test_times_are_those_of_a_trainings_own_checkpoint(tmp_path):
    folder = sweep(tmp_path / "sweeps" / "windows", seeds=[0])
    _, second = sorted(folder.iterdir())
    entries = [
        Entry(
            name="b",
            metrics={"labels_ms": Metric(value=4.0, low=3.0, high=5.0)},
            settings={"batch": 1, "size": [32, 64], "trained": True},
            artefacts={"checkpoint": str(second / "checkpoints" / "best.ckpt")},
        )
    ]
    recorded(tmp_path / "benchmark" / "now", "speed", entries)
    here = read(tmp_path)
    assert list(here.times) == ["windows=1,seed=0"]
    (timed,) = here.times["windows=1,seed=0"]
    assert timed.where == "32x64, Toy <CPU>, threads=1" and timed.ms.value == 4.0
    (column,) = [c for c in columns(here) if c.key.startswith("ms:")]
    assert [value(here, t, column) for t in here.trainings] == [None, 4.0]
    assert [table.kind for table in here.tables] == ["speed"]


def test_what_cannot_be_read_is_told_and_the_rest_is_shown(tmp_path):
    folder = sweep(tmp_path / "sweeps" / "windows")
    half, newer, curve, never = sorted(folder.iterdir())
    whole = (half / "result.json").read_text()
    (half / "result.json").write_text(whole[: len(whole) // 2])
    record = json.loads(whole)
    record["record"]["version"] = 99
    (newer / "result.json").write_text(json.dumps(record))
    (curve / "classes.csv").write_text("class,iou\nroad,much\n")
    (never / "result.json").unlink()
    (tmp_path / "empty").mkdir()
    here = read(folder, tmp_path / "empty")
    told = "\n".join(here.problems)
    assert "empty holds no run" in told and "version 99" in told and "windows=0,seed=0" in told
    assert "classes.csv is damaged" in told and "1 of 2 trainings did not finish" in told
    assert [t.status for t in here.trainings] == ["finished", "unfinished"]
    assert here.curves["val/miou"].keys() == {t.name for t in here.trainings}


def test_a_job_that_its_sweep_calls_failed_is_listed(tmp_path):
    folder = sweep(tmp_path / "sweeps" / "windows", windows=[0], seeds=[0])
    training(folder / "windows=1-0123456789", miou=None, settings={"seed": 0})
    entries = [
        Entry(name=job.name, metrics={}, settings={"method.windows": "0", "status": status})
        for job, status in zip(sorted(folder.iterdir()), ("finished", "failed"), strict=True)
    ]
    record = json.loads((recorded(tmp_path / "x", "sweep", entries) / "result.json").read_text())
    (folder / "sweep.json").write_text(json.dumps(record))
    here = read(folder)
    assert [t.status for t in here.trainings] == ["finished", "failed"]
    assert "1 of 2 trainings failed: windows=1" in here.problems[-1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["nowhere"], "nowhere is not there"),
        (["."], "there is no run in ."),
    ],
)
def test_nothing_to_report_is_refused(given, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told):
        folders_of_runs(given, tell=print)


def test_a_baseline_is_one_training(tmp_path):
    folder = sweep(tmp_path / "sweeps" / "windows")
    assert read(folder, baseline="windows=1,seed=1").baseline == "windows=1,seed=1"
    with pytest.raises(ConfigError, match=r"baseline=seed=1 is in the name of 2 trainings"):
        read(folder, baseline="seed=1")
    with pytest.raises(ConfigError, match="no finished training; name one of: windows=0,seed=0"):
        read(folder, baseline="seed=7")


def test_few_trainings_show_their_images_and_the_others_are_counted(tmp_path):
    here = read(sweep(tmp_path / "sweeps" / "windows"), images=3)
    (image,) = here.images
    assert image.name == "street_1" and [p.caption for p in image.given] == ["image", "truth"]
    assert set(image.predictions) == {t.name for t in here.trainings} - {"windows=0,seed=0"}
    assert image.legend is not None
    assert here.problems == ["images of 3 of 4 trainings are shown (images=3)"]


def test_curves_are_thinned_to_means_at_the_same_iterations():
    curve = [(n, float(n)) for n in range(1, 101)]
    steps = list(range(10, 101, 10))
    assert thinned(curve, steps)[0] == (10, 5.5) and len(thinned(curve, steps)) == 10
    assert thinned(curve[:14], steps) == [(10, 5.5), (20, 12.5)], "a run that was stopped"
    assert thinned(curve[:5], range(1, 101)) == curve[:5]


def test_hundreds_of_runs_keep_to_the_points_of_a_page(tmp_path):
    for seed in range(3):
        at = tmp_path / "sweeps" / "a" / f"seed={seed}-{seed:06x}"
        training(at, miou=0.5, settings={"seed": seed}, steps=600, image=False)
    found = read(tmp_path).curves
    steps = {tuple(step for step, _ in curve) for curve in found["train/loss"].values()}
    assert len(steps) == 1 and len(*steps) == 200
    assert len(found["val/miou"]["seed=0"]) == 120


def test_the_front_is_what_none_beats():
    rows = [(2.0, 0.5), (1.0, 0.5), (3.0, 0.6), (1.0, 0.4), (4.0, 0.55)]
    assert front(rows) == [1, 2]
    assert front([(1.0, 3.0), (2.0, 1.0), (3.0, 2.0)], higher_is_better=False) == [0, 1]


def test_of_many_classes_the_most_confused_are_kept(tmp_path):
    names = [f"c{n}" for n in range(40)]
    lines = ["labelled as," + ",".join(names)]
    for n, name in enumerate(names):
        counts = [0] * 40
        counts[n], counts[(n + 1) % 40] = 100, n
        lines.append(",".join([name, *map(str, counts)]))
    (tmp_path / "confusion.csv").write_text("\n".join(lines))
    kept = confusion(tmp_path, tell=print)
    assert kept.names == tuple(names[8:]) and kept.left_out == 8
    assert kept.thousandths[0][0] == round(100_000 / 108)


def test_evaluations_are_rows_of_one_table(tmp_path):
    for number in (1, 2):
        entry = Entry(name=f"net{number}", metrics={"val/miou": Metric(value=number / 10)})
        recorded(tmp_path / "evaluate" / f"at{number}", "evaluate", [entry])
    (table,) = read(tmp_path).tables
    assert table.title == "evaluations" and [row["name"] for row in table.rows] == ["net1", "net2"]
    assert table.rows[1]["metrics"] == {"val/miou": [0.2, None, None]}
    assert table.rows[1]["settings"]["folder"].endswith("at2")


def test_a_headline_that_is_to_be_low_is_judged_so(tmp_path):
    for number, score in enumerate((0.2, 0.4, 0.3)):
        settings, at = {"at": number}, tmp_path / "train" / f"net{number}" / "now"
        training(at, miou=score, settings=settings, higher_is_better=False)
    here = read(tmp_path, images=1)
    (column,) = [c for c in columns(here) if c.key == "test/miou"]
    assert column.kind == "lower" and column.main
    assert set(here.images[0].predictions) == {t.name for t in here.trainings if "net0" in t.name}
    said = markdown(here, title="a", made="b", command="c")
    assert [line.count("\\*") for line in said.splitlines() if "| train (" in line] == [1, 0, 0]


@pytest.mark.parametrize("name", ["config", "overrides", "hydra"])
@pytest.mark.parametrize("content", ["[a", "5", "hydra: 5"])
def test_damaged_configs_leave_the_rest_of_a_training(tmp_path, name, content):
    folder = sweep(tmp_path / "sweeps" / "windows", seeds=[0])
    (min(folder.iterdir()) / ".hydra" / f"{name}.yaml").write_text(content)
    here = read(folder)
    assert [t.status for t in here.trainings] == ["finished", "finished"]
    markdown(here, title="a", made="b", command="c")


@pytest.mark.parametrize(
    "damaged",
    [
        {"machine": None},
        {"entries": [{"name": "a", "metrics": {}, "settings": None}]},
        {"entries": [{"name": "a", "metrics": {"test/miou": {"value": "abc"}}}]},
    ],
    ids=str,
)
def test_records_of_other_programs_are_told_where_they_are_none(tmp_path, damaged):
    folder = sweep(tmp_path / "sweeps" / "windows", seeds=[0])
    path = min(folder.iterdir()) / "result.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({"record": plain["record"] | damaged}))
    here = read(folder)
    assert len(here.trainings) == 1 and "damaged record" in here.problems[0]


def test_what_is_no_number_is_shown_as_nothing(tmp_path):
    at = training(tmp_path / "train" / "a" / "now", miou=float("nan"), settings={}, image=False)
    (at / "confusion.csv").unlink()
    here = read(tmp_path)
    assert "test/miou" not in here.trainings[0].metrics
    assert "nan" not in markdown(here, title="a", made="b", command="c")


def test_costs_of_random_weights_are_those_of_networks_that_nobody_changed(tmp_path):
    changed = sweep(tmp_path / "sweeps" / "windows", seeds=[0])
    training(tmp_path / "train" / "plain" / "now", miou=0.5, settings={"at": 1})
    metrics = {"ms": Metric(value=4.0)}
    for number, runtime in enumerate(("torch", "onnxruntime")):
        settings = {"size": [32, 64], "runtime": runtime}
        entry = Entry(name="cts_vitt", metrics=metrics, settings=settings)
        recorded(tmp_path / "choose" / str(number), "choose", [entry])
    here = read(tmp_path)
    ((name, times),) = here.times.items()
    assert "windows" not in name and changed.exists()
    assert {one.where.split(", ")[1] for one in times} == {"Toy <CPU>", "onnxruntime"}


def test_settings_of_one_experiment_are_told_apart_and_repeats_said(tmp_path):
    for number, (rate, seed) in enumerate([(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 0)]):
        settings = {"seed": seed, "method": {"lr": rate}}
        at = tmp_path / "train" / "net" / str(number)
        training(at, miou=0.1 * number + 0.1, settings=settings)
    here = read(tmp_path)
    assert [len(s.members) for s in here.settings] == [2, 1, 1], "a repeat is no other seed"
    assert here.settings[1].members == (here.trainings[2].name,), "the older one stands alone"
    said = "1 training has the setting and the seed of a newer one, which counts alone"
    assert said in here.problems[0]


def test_names_that_were_given_tell_trainings_apart_and_a_baseline_may_be_a_setting(tmp_path):
    for number, (name, seed) in enumerate([("a b", 0), ("a b", 1), ("<c>", 0)]):
        at = tmp_path / "train" / name / str(number)
        training(at, miou=0.1 * number + 0.1, settings={"seed": seed, "lr": 1})
    here = read(tmp_path)
    assert [len(s.members) for s in here.settings] == [1, 2]
    with pytest.raises(ConfigError, match="3 trainings"):
        read(tmp_path, baseline="train")
    both = read(tmp_path / "train" / "a b", baseline="train")
    assert len(both.settings) == 1 and both.baseline == both.trainings[0].name


def test_a_repeat_that_has_not_finished_takes_nothing_away_and_folders_of_one_name_are_repeats(
    tmp_path,
):
    for number, (seed, miou) in enumerate([(0, 0.3), (1, 0.4), (0, None)]):
        at = tmp_path / "train" / "net" / str(number)
        training(at, miou=miou, settings={"seed": seed, "lr": 1})
    here = read(tmp_path)
    assert here.settings[0].metrics["test/miou"].mean == pytest.approx(0.35)
    for root, miou in (("a", 0.1), ("b", 0.2)):
        training(tmp_path / root / "sweeps" / "s" / "seed=0", miou=miou, settings={"seed": 0})
    os.utime(tmp_path / "a" / "sweeps" / "s" / "seed=0" / "result.json", (1, 1))
    both = read(tmp_path / "a", tmp_path / "b")
    assert [len(setting.members) for setting in both.settings] == [1, 1]
    assert "1 training has the setting and the seed of a newer one" in both.problems[0]
