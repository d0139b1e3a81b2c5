"""The panoptic task from end to end: trained, scored, drawn, evaluated again; what it refuses."""

import csv
import json
import logging
from io import StringIO
from types import SimpleNamespace

import pytest
from PIL import Image
from rich.console import Console
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.data.scenes.kinds import class_table
from segsuite.engine.callbacks.images import PANELS
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.run import Run
from segsuite.engine.panoptic_evaluator import PanopticEvaluator
from segsuite.engine.panoptic_task import PanopticTask
from segsuite.engine.training import make_task
from segsuite.evaluate import main as evaluate
from segsuite.nn.grouping import Grouping
from segsuite.train import main as train
from tests.engine.entry_points import called

SMALL = (
    "experiment=panoptic_scenes",
    "data.crop_size=[64,128]",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.reader.lengths={train: 4, val: 2}",
    "method.backbone.name=mobilenetv2_035",
    "method/backbone=timm",
    "trainer=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
)


def test_a_network_is_trained_scored_drawn_and_evaluated_again(tmp_path, capfd):
    assert called(train, *SMALL, f"paths.logs={tmp_path}") == 0, capfd.readouterr().err
    (folder,) = tmp_path.glob("train/panoptic_scenes/*")
    result = json.loads((folder / "result.json").read_text())
    metrics = result["metrics"]
    assert result["optimized_metric"] == "test/pq" and 0 <= metrics["test/pq"] <= 1
    assert {"train/ce", "train/centre", "train/offset", "test/ap", "test/miou"} <= metrics.keys()
    with open(folder / "panoptic.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {"class", "pq", "tp", "fp", "fn", "ap"} <= rows[0].keys()
    # Every segment of the truth was found or missed.
    assert sum(int(row["tp"]) + int(row["fn"]) for row in rows) > 10
    with Image.open(next((folder / "images").iterdir())) as sheet:
        captions = [panel["caption"] for panel in json.loads(sheet.text[PANELS])["panels"]]
    assert captions[-4:] == [
        "segments: truth",
        "segments: prediction",
        "heat of centres",
        "offsets",
    ]
    checkpoint = folder / "checkpoints" / "last.ckpt"
    code = called(evaluate, f"ckpt_path={checkpoint}", "trainer=cpu", f"paths.logs={tmp_path}")
    assert code == 0, capfd.readouterr().err
    (again,) = tmp_path.glob("evaluate/*/*/result.json")
    for name in ("pq", "ap", "miou"):
        assert json.loads(again.read_text())["metrics"][f"val/{name}"] == pytest.approx(
            metrics[f"test/{name}"], nan_ok=True
        )


def test_data_without_instances_are_refused_before_training(tmp_path, capfd):
    assert called(train, *SMALL, "data.instances=false", f"paths.logs={tmp_path}") == 2
    assert "type data.instances=true" in capfd.readouterr().err


SEMANTIC = ("experiment=mobile_basic_coco9", "data=scenes", "method.backbone.weights=none")


def test_instances_that_nothing_reads_are_said(caplog):
    run = Run(compose("train", [*SEMANTIC, "data.crop_size=[64,64]", "data.instances=true"]))
    network = nn.Identity()
    network.num_classes, network.size_divisor = 19, 32
    with caplog.at_level(logging.INFO):
        make_task(run, network, SimpleNamespace(classes=class_table(19)))
    assert "instances are read, and this method makes no use of them" in caplog.text


def test_classes_without_things_are_refused():
    table = ClassTable(names=("a", "b"), colors=distinct_colors(2), ids=(0, 1))
    with pytest.raises(ConfigError, match="say `thing: true`"):
        PanopticTask(
            network=None,
            classes=table,
            grouping=Grouping(),
            inference=None,
            loss=None,
            optimizer=None,
            schedule=None,
        )


def test_metrics_are_those_that_are_named():
    table = ClassTable(
        names=("a", "b"), colors=distinct_colors(2), ids=(0, 1), things=frozenset({1})
    )
    for ap in (True, False):
        evaluator = PanopticEvaluator(classes=table, ap=ap)
        assert tuple(evaluator.compute()) == evaluator.metric_names
        assert ("ap50" in evaluator.metric_names) == ap
        evaluator.show(Console(file=StringIO()), title="nothing was seen", most=10)
