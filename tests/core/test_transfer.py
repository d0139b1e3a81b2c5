"""Networks without a part called backbone, and how reports name weights."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from segsuite.core.errors import CheckpointError
from segsuite.core.transfer import begin_with


def chain(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(one, two) for one, two in pairwise(widths)))


def checkpoint(network: nn.Module) -> dict:
    state = {f"network.{name}": weight for name, weight in network.state_dict().items()}
    return {"config": {"method": {"network": {"_target_": "toy.Chain"}}}, "state_dict": state}


def test_more_than_half_is_enough_without_a_backbone():
    ours, theirs = chain(8, 8, 8, 2), chain(8, 8, 8, 3)
    report = begin_with(ours, checkpoint(theirs), source="a.ckpt")
    assert report.taken == ("0.bias", "0.weight", "1.bias", "1.weight")
    assert report.fresh == report.left_over == ("2.*",), "a whole module under one name"
    assert torch.equal(ours[1].weight, theirs[1].weight)


def test_less_than_half_is_not():
    ours = chain(8, 2, 16, 8)
    with pytest.raises(CheckpointError, match=r"too little .* 1.bias is 16 here and 3 there"):
        begin_with(ours, checkpoint(chain(8, 2, 3)), source="a.ckpt")


def test_the_report_stands_for_itself():
    report = str(begin_with(chain(4, 4), checkpoint(chain(4, 4, 1)), source="a.ckpt"))
    assert report.splitlines() == [
        "took 2 weights from a.ckpt",
        "  resized: nothing",
        "  own initial weights: nothing",
        "  left fresh: nothing",
        "  left over in the file: 1.*",
    ]
