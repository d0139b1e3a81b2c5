"""A data set and a method of somebody else's: files of theirs, and no edit of ours."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import CheckpointError
from segsuite.engine.inference.candidates import from_checkpoint
from segsuite.evaluate import main as evaluate
from segsuite.predict import main as predict
from segsuite.train import main as train
from tests.data.layouts import mask_of, write_image, write_mask
from tests.engine.doors import called

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
