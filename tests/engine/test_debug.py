"""The quick looks of `debug=`."""

import csv
from types import SimpleNamespace

from lightning.pytorch.profilers import SimpleProfiler

from segsuite.engine.fitting import profiles
from segsuite.engine.launch.entry_point import compose
from segsuite.train import main as train
from tests.engine.entry_points import TOY, called, only


def test_overfit_learns_one_batch_by_heart(tmp_path):
    line = ["--config-dir", "tests/conf", *TOY, "debug=overfit", "name=heart"]
    line += [f"paths.logs={tmp_path}", "callbacks.images=null"]
    # An iteration is an epoch, with workers of its own; sixty of the two hundred are enough here.
    assert called(train, *line, "data.num_workers=0", "trainer.max_steps=60") == 0
    with open(only(tmp_path, "train/heart/*/metrics.csv"), newline="") as handle:
        losses = [float(row["train/loss"]) for row in csv.DictReader(handle) if row["train/loss"]]
    assert losses[-1] < 0.5 * losses[0]


def test_overfit_has_no_warm_up_that_outlasts_it():
    cfg = compose("train", ["experiment=cts_dtop_vitt", "data=scenes", "debug=overfit"])
    assert cfg.method.schedule.warmup == 0 < cfg.trainer.max_steps


def test_the_files_of_a_profiler_are_named(tmp_path):
    profiler = SimpleProfiler(dirpath=tmp_path, filename="profile")
    profiler.setup("fit")
    profiler.describe()
    assert profiles(SimpleNamespace(profiler=profiler)) == [tmp_path / "fit-profile.txt"]
    assert profiles(SimpleNamespace(profiler=SimpleProfiler())) == []
    settings = compose("train", ["debug=profiler"]).trainer.profiler
    assert settings.filename == "profile"
