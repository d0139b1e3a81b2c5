"""A data set and a method of somebody else's: files of theirs, and no edit of ours."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.benchmark import main as benchmark
from segsuite.core import results
from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import CheckpointError
from segsuite.engine.inference.candidates import from_checkpoint
from segsuite.evaluate import main as evaluate
from segsuite.export import main as export
from segsuite.predict import main as predict
from segsuite.train import main as train
from tests.data.layouts import mask_of, write_image, write_mask
from tests.engine.entry_points import called

FILES = {
    "conf/data/leaves.yaml": """
# Leaves, photographed from above
_target_: segsuite.data.module.SegmentationData
root: ???
classes: ${data.root}/leaves.yaml
num_classes: ${classes_in:${data.classes}}
crop_size: [32, 32]
batch_size: 2
eval_batch_size: 2
num_workers: 0
seed: ${seed}
reader:
  _target_: segsuite.data.readers.paired_files.PairedFiles
  images: "{split}/photos/{id}.*"
  masks: "{split}/truth/{id}.png"
  splits: {train: early, val: late}
train_transform:
  _target_: segsuite.data.transforms.ScaleCropFlip
  crop_size: ${data.crop_size}
eval_transform:
  _target_: segsuite.data.transforms.AsItIs
""",
    "conf/method/pixelwise.yaml": """
# One colour, one class
network:
  _target_: ourlab.pixelwise.network.Pixelwise
  num_classes: ${data.num_classes}
task:
  _target_: segsuite.engine.task.SegmentationTask
  loss:
    _target_: ourlab.pixelwise.losses.CrossEntropy
  optimizer:
    _target_: torch.optim.SGD
    _partial_: true
    lr: 0.1
  schedule:
    _target_: segsuite.engine.schedules.constant
    _partial_: true
""",
    "conf/experiment/leaves_pixelwise.yaml": """
# @package _global_
# Leaves by their colour.
defaults:
  - override /data: leaves
  - override /method: pixelwise

name: leaves_pixelwise
""",
    "ourlab/pixelwise/network.py": """
from torch import nn
from segsuite.nn.segmenter import Segmenter
from segsuite.nn.predictions import GridPrediction

class Pixelwise(Segmenter):
    size_divisor = 4

    def __init__(self, *, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.layer = nn.Conv2d(3, num_classes, 4, stride=4)

    def forward(self, images):
        return self.layer(images.float() / 255)

    def predict(self, images):
        return GridPrediction(self(images).softmax(1))
""",
    "ourlab/pixelwise/losses.py": """
import torch.nn.functional as F
from torch import nn
from segsuite.core.labels import IGNORE

class CrossEntropy(nn.Module):
    def forward(self, scores, labels):
        labels = labels[:, ::4, ::4]
        return {"ce": F.cross_entropy(scores, labels, ignore_index=IGNORE)}
""",
}
FILES |= {
    "ourlab/pixelwise/evaluator.py": """
import torch
from segsuite.engine.evaluators import Evaluator

class WrongPixels(Evaluator):
    headline, higher_is_better = "wrong", False
    metric_names = ("wrong", "pixels")

    def __init__(self, *, classes):
        super().__init__()
        self.reset()

    def reset(self):
        self.wrong = self.pixels = 0

    def update(self, predictions, batch):
        for labels, truth in zip(predictions, batch["label"]):
            self.wrong += int((labels != truth)[truth >= 0].sum())
            self.pixels += int((truth >= 0).sum())

    def compute(self):
        share = self.wrong / max(self.pixels, 1)
        return {"wrong": torch.tensor(share), "pixels": torch.tensor(float(self.pixels))}
""",
    "ourlab/heads.py": """
from torch import nn
from segsuite.methods.segvit.head import AtmOutput, Head
from segsuite.nn.predictions import GridPrediction

class LinearMasks(Head):
    def __init__(self, *, in_dim: int, num_classes: int):
        super().__init__()
        self.masks = nn.Linear(in_dim, num_classes)
        self.presence = nn.Linear(in_dim, 2 * num_classes)

    def forward(self, tokens, valid=None):
        classes = self.presence(tokens.mean(1)).unflatten(1, (-1, 2))
        return AtmOutput(self.masks(tokens).transpose(1, 2), classes)

    def prediction(self, output, trace=None):
        return GridPrediction(output.masks.sigmoid(), trace)
""",
    "conf/method/head/linear_masks.yaml": """
# A linear layer for each token.
_target_: ourlab.heads.LinearMasks
in_dim: ${method.backbone.dim}
num_classes: ${data.num_classes}
""",
    "ourlab/callbacks.py": """
from pathlib import Path
from lightning import Callback

class Goodbye(Callback):
    def __init__(self, *, folder: str):
        self.path = Path(folder) / "goodbye.txt"

    def on_fit_end(self, trainer, pl_module):
        self.path.write_text(str(trainer.global_step))
""",
    "conf/callbacks/polite.yaml": """
# The usual ones, and one that says goodbye.
defaults:
  - default

goodbye:
  _target_: ourlab.callbacks.Goodbye
  folder: ${run.folder}
""",
    "ourlab/probes.py": """
from segsuite.core.results import Entry, metrics_of

class Bare:
    # As probes were before there were records, with keys that the record has too.
    def __init__(self, found):
        self.found = found

    def show(self, console, folder):
        pass

    def to_dict(self, *, parts=True):
        return {"parameters": self.found, "device": "mine", "kind": 3}

class Parameters:
    machine = {"device": "cpu"}

    def __init__(self, *, networks, unit: int = 1, bare: bool = False):
        self.networks, self.unit, self.bare = networks, unit, bare

    def __call__(self, *, data_overrides, tell):
        tell("counting")
        self.found = {
            c.name: sum(p.numel() for p in c.network.parameters()) // self.unit
            for c in self.networks.built((32, 32), data_overrides=data_overrides)
        }
        return Bare(self.found) if self.bare else self

    def show(self, console, folder):
        console.print("counted")

    def entries(self):
        return [Entry(name=n, metrics=metrics_of({"parameters": p})) for n, p in self.found.items()]

    def to_dict(self, *, parts=True):
        return {"parameters": self.found}
""",
    "conf/probe/parameters.yaml": """
# How many numbers a network has.
_target_: ourlab.probes.Parameters
networks:
  _target_: segsuite.engine.inference.candidates.NamedNetworks
  experiments: ${experiments}
  checkpoints: ${checkpoints}
  overrides: ${overrides}
  allow: ${allow}
unit: 1
""",
}
TABLE = "ignore: 0\nclasses:\n  - {id: 7, name: soil}\n  - {id: 9, name: leaf}\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """Their folder: configs, code and data."""
    root = tmp_path_factory.mktemp("lab")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    for split, count in (("early", 4), ("late", 3)):
        for number in range(count):
            write_image(root / f"data/{split}/photos/{number}.jpg", (30, 40), seed=number)
            write_mask(root / f"data/{split}/truth/{number}.png", mask_of([0, 7, 9], (30, 40)))
    (root / "data" / "leaves.yaml").write_text(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        yield root


@pytest.fixture(scope="module")
def checkpoint(lab) -> Path:
    code = called(
        train,
        *("--config-dir", str(lab / "conf"), "experiment=leaves_pixelwise", "debug=smoke"),
        *(f"data.root={lab / 'data'}", "allow=[ourlab.]"),
        *("trainer=cpu", f"paths.logs={lab / 'logs'}"),
    )
    assert code == 0
    (folder,) = lab.glob("logs/train/leaves_pixelwise/*")
    assert json.loads((folder / "result.json").read_text())["steps"] == 4
    assert list((folder / "images").iterdir())
    return folder / "checkpoints" / "best.ckpt"


def again(lab: Path, checkpoint: Path, *arguments: str) -> tuple[str, ...]:
    logs = f"paths.logs={lab / 'logs'}"
    return (f"ckpt_path={checkpoint}", "allow=[ourlab.]", logs, *arguments)


def test_it_is_evaluated(lab, checkpoint, capfd):
    assert called(evaluate, *again(lab, checkpoint, "trainer=cpu", "inference=slide")) == 0
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert result["inference"] == "Slide" and result["metrics"]["val/miou"] > 0


def test_it_predicts_raw_ids_of_its_table(lab, checkpoint):
    line = again(lab, checkpoint, f"input={lab / 'data/late/photos'}", f"output={lab / 'out'}")
    assert called(predict, *line) == 0
    found = [np.asarray(Image.open(path)) for path in (lab / "out" / "masks").iterdir()]
    assert len(found) == 3 and all(mask.shape == (30, 40) for mask in found)
    assert set(np.unique(found)) <= {7, 9}


def test_an_evaluator_of_theirs_names_the_metric_that_chooses_and_returns(lab):
    """The lowest share of wrong pixels is the best, for best.ckpt and for a sweeper."""
    code = called(
        train,
        *("--config-dir", str(lab / "conf"), "experiment=leaves_pixelwise", "debug=smoke"),
        *(
            f"data.root={lab / 'data'}",
            "allow=[ourlab.]",
            "name=wrong",
            "callbacks=polite",
            "logger=csv",
        ),
        *("trainer=cpu", f"paths.logs={lab / 'logs'}"),
        "+method.task.evaluator._target_=ourlab.pixelwise.evaluator.WrongPixels",
        "+method.task.evaluator._partial_=true",
    )
    assert code == 0
    (folder,) = lab.glob("logs/train/wrong/*")
    best = json.loads((folder / "checkpoints" / "best.json").read_text())
    result = json.loads((folder / "result.json").read_text())
    assert best["monitor"] == "val/wrong" and result["optimized_metric"] == "test/wrong"
    assert result["optimized"] == result["metrics"]["test/wrong"] == best["score"]
    rows = [float(row) for row in column(folder / "metrics.csv", "val/wrong")]
    assert len(rows) == 2 and best["score"] == min(rows)
    assert "test/miou" not in result["metrics"]
    assert (folder / "goodbye.txt").read_text() == "4"


def test_a_head_of_theirs_trains_in_segvit(lab):
    code = called(
        train,
        *("--config-dir", str(lab / "conf"), "method=segvit", "method/backbone=vit_micro"),
        *("data=leaves", f"data.root={lab / 'data'}", "allow=[ourlab.]", "name=linear_masks"),
        *("method/head=linear_masks", "method/sharing=cosine", "method.sharing.windows=1"),
        *("data.crop_size=[32,64]", "debug=smoke", "trainer=cpu", f"paths.logs={lab / 'logs'}"),
    )
    assert code == 0
    (folder,) = lab.glob("logs/train/linear_masks/*")
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    assert metrics["test/miou"] > 0
    checkpoint = read_checkpoint(folder / "checkpoints" / "best.ckpt")
    assert any("network.head.presence" in name for name in checkpoint["state_dict"])


def test_a_headline_that_is_no_metric_is_refused_before_training(lab, monkeypatch, capfd):
    from ourlab.pixelwise.evaluator import WrongPixels

    monkeypatch.setattr(WrongPixels, "headline", "wrongs")
    code = called(
        train,
        *("--config-dir", str(lab / "conf"), "experiment=leaves_pixelwise", "debug=smoke"),
        *(f"data.root={lab / 'data'}", "allow=[ourlab.]", "trainer=cpu"),
        *(f"paths.logs={lab / 'logs'}", "name=headless"),
        "+method.task.evaluator._target_=ourlab.pixelwise.evaluator.WrongPixels",
        "+method.task.evaluator._partial_=true",
    )
    assert code == 2 and "none of its metrics: wrong, pixels" in capfd.readouterr().err


def column(path: Path, name: str) -> list[str]:
    with open(path, newline="") as file:
        return [row[name] for row in csv.DictReader(file) if row.get(name)]


def test_a_probe_of_theirs_measures(lab, capfd):
    line = ("--config-dir", str(lab / "conf"), "probe=parameters", "allow=[ourlab.]")
    own = ("experiments=[quickstart]", "probe.unit=1000", f"paths.logs={lab / 'logs'}")
    assert called(benchmark, *line, *own) == 0
    out = capfd.readouterr().out.splitlines()
    count = json.loads(out[-1])["parameters"]["quickstart"]
    assert count > 100 and "counted" in out
    (file,) = lab.glob("logs/benchmark/*/*/result.json")
    record = results.read(file)
    assert record.kind == "parameters" and "probe.unit=1000" in record.config
    assert {e.name: e.metrics["parameters"].value for e in record.entries} == {"quickstart": count}
    assert called(benchmark, *line, *own, "+probe.bare=true") == 0
    assert "has no `machine` and `entries()`" in capfd.readouterr().out
    assert called(benchmark, *line, *own, "rounds=3") == 2
    assert "rounds=3 would change nothing: probe=parameters looks at" in capfd.readouterr().err


def test_an_export_is_scored_by_their_evaluator(lab, capfd):
    pytest.importorskip("onnxscript"), pytest.importorskip("onnxruntime")
    (file,) = lab.glob("logs/train/wrong/*/checkpoints/best.ckpt")
    line = again(lab, file, "size=[32,64]", "accuracy.measure=true", f"output_folder={lab / 'o'}")
    assert called(export, *line) == 0
    out = capfd.readouterr().out
    said = json.loads(out.splitlines()[-1])
    assert "miou" not in said and 0 < said["wrong"] < 1
    assert said["files"]["onnx"]["wrong"] == pytest.approx(said["wrong"], abs=0.02)
    assert "wrong: on all 3 validation images" in out
    compared = (f"checkpoints=[{file}]", "data=leaves", f"data.root={lab / 'data'}", "rounds=2")
    small = ("size=[32,64]", "batch_sizes=[1]", "images=1", "device=cpu")
    line = ("--config-dir", str(lab / "conf"), "allow=[ourlab.]", f"paths.logs={lab / 'logs'}")
    assert called(benchmark, *line, *compared, *small) == 0
    (network,) = json.loads(capfd.readouterr().out.splitlines()[-1])["networks"].values()
    assert network["wrong"]["wrong"] == pytest.approx(said["wrong"], abs=1e-6)


def test_code_that_is_not_allowed_is_not_run(lab, checkpoint, capfd):
    line = [a for a in again(lab, checkpoint, "trainer=cpu") if "allow" not in a]
    assert called(evaluate, *line) == 2
    err = capfd.readouterr().err
    assert "ourlab.pixelwise" in err and "is outside segsuite." in err and str(checkpoint) in err
    assert "allow=[" not in err, "whose file it is, only the user knows"


def test_it_is_compared_where_it_is_allowed_now_whatever_the_checkpoint_allows(checkpoint):
    assert read_checkpoint(checkpoint)["config"]["allow"] == ["ourlab."]
    with pytest.raises(CheckpointError, match=r"ourlab.pixelwise.* is outside segsuite"):
        from_checkpoint(checkpoint, size=(32, 32))
    found = from_checkpoint(checkpoint, size=(32, 32), allow=["ourlab."])
    assert type(found.network).__name__ == "Pixelwise"
