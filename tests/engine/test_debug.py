"""The quick looks of `debug=`."""

import csv

from segsuite.engine.launch import compose
from tests.engine.doors import TOY, command, only, run


def test_overfit_learns_one_batch_by_heart(tmp_path):
    line = command("train", "--config-dir", "tests/conf", *TOY, "debug=overfit", "name=heart")
    line += [f"paths.logs={tmp_path}", "callbacks.pictures=null"]
    code, _, err = run(line)
    assert code == 0, err
    with open(only(tmp_path, "train/heart/*/metrics.csv"), newline="") as handle:
        losses = [float(row["train/loss"]) for row in csv.DictReader(handle) if row["train/loss"]]
    assert losses[-1] < 0.5 * losses[0]


def test_overfit_has_no_warm_up_that_outlasts_it():
    cfg = compose("train", ["experiment=cts_dtop_vitt", "data=scenes", "debug=overfit"])
    assert cfg.method.schedule.warmup == 0 < cfg.trainer.max_steps
