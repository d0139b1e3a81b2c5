"""A training goes on with the data, the network and the optimiser that it began with."""

import copy
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from segsuite.core.checkpoint import save_checkpoint
from segsuite.core.errors import CheckpointError
from segsuite.engine.resuming import ResumePoint, fingerprints
from tests.data.layouts import mask_of, write_image, write_mask
from tests.toy import toy_classes

CONFIG = {"method": {"network": {"_target_": "a.B"}, "optimizer": {"_target_": "torch.optim.SGD"}}}


class Data:
    """Data of files in a folder."""

    def __init__(self, root) -> None:
        self.root = root

    def samples(self, split: str) -> SimpleNamespace:
        images = sorted((self.root / "images").iterdir())
        files = [(path, self.root / "masks" / path.name) for path in images]
        return SimpleNamespace(ids=[path.stem for path in images], files=files.__getitem__)


@pytest.fixture
def data(tmp_path):
    for number in range(4):
        write_image(tmp_path / "images" / f"{number}.png", (8, 8))
        write_mask(tmp_path / "masks" / f"{number}.png", mask_of([0, 1], (8, 8)))
    return Data(tmp_path)


@pytest.fixture
def content(data):
    network = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return {
        "config": CONFIG,
        "state_dict": {f"network.{n}": w for n, w in network.state_dict().items()},
        "classes": toy_classes(2).to_dict(),
        "samples": fingerprints(data),
        "global_step": 7,
        "pytorch-lightning_version": "2.6",
        "loops": {},
        "callbacks": {},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
    }


@pytest.fixture
def point(tmp_path, content):
    def read(**other) -> ResumePoint:
        save_checkpoint({**content, **other}, tmp_path / "last.ckpt")
        return ResumePoint(tmp_path / "last.ckpt", CONFIG)

    return read


def test_the_same_data_are_nothing_to_tell(point, data, caplog):
    resumed = point()
    resumed.check_classes(toy_classes(2))
    resumed.compare_samples(fingerprints(data))
    assert resumed.step == 7 and not caplog.records


def test_other_files_are_told_of_with_their_numbers(point, data, caplog):
    resumed = point()
    (data.root / "images" / "0.png").unlink()
    for name in ("5", "6"):
        write_image(data.root / "images" / f"{name}.png", (8, 8))
        write_mask(data.root / "masks" / f"{name}.png", mask_of([0, 1], (8, 8)))
    write_mask(data.root / "masks" / "2.png", mask_of([0, 1], (80, 80)))
    with caplog.at_level(logging.WARNING):
        resumed.compare_samples({"train": fingerprints(data)["train"]})
    (record,) = caplog.records
    said = "in split `train` 2 added, 1 gone, 1 of another size than then, of 4 samples then and 5"
    assert said in record.getMessage() and "last.ckpt" in record.getMessage()


def test_a_checkpoint_from_before_there_were_fingerprints_is_gone_on_from(point, data, caplog):
    resumed = point(samples={})
    resumed.compare_samples(fingerprints(data))
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": (1, 0)}, "class 0 is `class 0` of id 0 there and `class 0` of id 1 here"),
        ({"names": ("class 0", "crack")}, "class 1 is `class 1` of id 1 there and `crack` of id 1"),
        ({"ignore": None}, "ids that are ignored: 255 there, None here"),
        ({"ignored": (9,)}, r"ids that are ignored: \[\] there, \[9\] here"),
    ],
)
def test_another_class_table_is_refused_saying_what_differs(point, change, said):
    with pytest.raises(CheckpointError, match=f"another class table: {said}.*init_from="):
        point().check_classes(replace(toy_classes(2), **change))
    with pytest.raises(CheckpointError, match="2 classes there, 3 here"):
        point().check_classes(toy_classes(3))
    point().check_classes(replace(toy_classes(2), colors=np.zeros((2, 3), np.uint8)))


def test_another_network_is_refused_before_the_trainer_meets_it(point):
    resumed = point()
    resumed.check_network(nn.Linear(3, 2))
    with pytest.raises(CheckpointError, match=r"2 of another shape .*or init_from=.*last\.ckpt"):
        resumed.check_network(nn.Linear(4, 3))


def test_weights_that_are_not_finite_are_not_gone_on_from(point, content):
    state = copy.deepcopy(content["state_dict"])
    state["network.bias"][0] = torch.inf
    with pytest.raises(CheckpointError, match=r"last\.ckpt holds weights .*: bias is the first"):
        point(state_dict=state).check_network(nn.Linear(3, 2))


def test_another_optimiser_is_refused(point):
    network = nn.Linear(3, 2)
    point().check_optimizer(torch.optim.SGD(network.parameters(), lr=1.0), CONFIG)
    two = [{"params": [network.weight]}, {"params": [network.bias]}]
    with pytest.raises(CheckpointError, match=r"SGD of 2 weights, here is .*SGD of 1 \+ 1"):
        point().check_optimizer(torch.optim.SGD(two, lr=1.0), CONFIG)
    other = {"method": {**CONFIG["method"], "optimizer": {"_target_": "torch.optim.AdamW"}}}
    with pytest.raises(CheckpointError, match=r"here is torch\.optim\.AdamW of 2"):
        point().check_optimizer(torch.optim.AdamW(network.parameters(), lr=1.0), other)


@pytest.mark.parametrize("part", ["loops", "optimizer_states", "lr_schedulers", "global_step"])
def test_what_a_training_goes_on_from_is_named_where_it_is_missing(tmp_path, content, part):
    del content[part]
    save_checkpoint(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=rf"last\.ckpt .*`{part}` is missing.*init_from="):
        ResumePoint(tmp_path / "last.ckpt", CONFIG)
