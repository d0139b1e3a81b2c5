"""The panoptic task from end to end: trained, scored, drawn, evaluated again; what it refuses."""

import csv
import json
from io import StringIO
from types import SimpleNamespace

import pytest
from lightning import Callback
from PIL import Image
from rich.console import Console

from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.engine.callbacks.cityscapes import CityscapesReport
from segsuite.engine.callbacks.images import PANELS
from segsuite.engine.panoptic_evaluator import PanopticEvaluator
from segsuite.engine.panoptic_task import PanopticTask
from segsuite.engine.training import _reads_instances
from segsuite.evaluate import main as evaluate
from segsuite.nn.grouping import Grouping
from segsuite.train import main as train
from tests.engine.entry_points import ROOT, called

SCENES = (
    *("data=scenes", "data.crop_size=[64,128]", "data.batch_size=2", "data.num_workers=0"),
    *("data.reader.lengths={train: 4, val: 2}", "data.instances=true"),
)
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


def test_instances_that_nothing_reads_are_said(tmp_path, capfd):
    flags = ["--config-dir", str(ROOT / "tests" / "conf"), f"paths.logs={tmp_path}"]
    given = ["method=toy", "allow=[tests.]", *SCENES, "trainer=cpu", "trainer.max_steps=1"]
    assert called(train, *flags, *given, "trainer.val_check_interval=1") == 0
    said = " ".join("".join(capfd.readouterr()).split())
    assert "instances are read from files, and nothing looks at them" in said


def test_instances_that_a_task_or_a_callback_reads_are_not():
    classes_alone = SimpleNamespace(needs_instances=False)
    report = SimpleNamespace(reads_instances=CityscapesReport.reads_instances)
    assert _reads_instances(classes_alone, [Callback(), report])
    assert _reads_instances(PanopticTask, []) and not _reads_instances(classes_alone, [Callback()])


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
