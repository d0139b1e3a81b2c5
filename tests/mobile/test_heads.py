"""The heads: cells from YAML, a form for deployment, and what is refused."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.nn.folding import for_inference
from segsuite.nn.heads.deeplab_basic import BasicHead
from segsuite.nn.heads.dpc import Atrous, DensePredictionCell, PyramidPooling
from tests.mobile.made import network, stirred

OWN_CELL = """
_target_: segsuite.nn.heads.dpc.DensePredictionCell
_partial_: true
channels: 12
cell:
  - {_target_: segsuite.nn.heads.dpc.PyramidPooling, grid: [1, 1]}
  - {_target_: segsuite.nn.heads.dpc.Atrous, rate: [2, 3], input: 0}
  - {_target_: segsuite.nn.heads.dpc.PyramidPooling, grid: [2, 4], input: 1}
  - {_target_: segsuite.nn.heads.dpc.Atrous, rate: [1, 1], kernel: 1, input: -1}
"""


def test_the_papers_cell():
    cell = network(meta=True).head
    assert cell.inputs == (-1, 0, 1, 0, 0)
    rates = [branch[0].depthwise.dilation for branch in cell.branches]
    assert rates == [(1, 6), (18, 15), (6, 3), (1, 1), (6, 21)]
    for branch in cell.branches:
        assert branch[0].depthwise.padding == branch[0].depthwise.dilation
        assert isinstance(branch[0].act, nn.ReLU), "unlike the encoder's"


@pytest.mark.parametrize(
    ("stride", "rates"),
    [
        (8, [(2, 12), (36, 30), (12, 6), (2, 2), (12, 42)]),
        (32, [(1, 3), (9, 8), (3, 2), (1, 1), (3, 11)]),
    ],
)
def test_rates_follow_the_output_stride(stride, rates):
    cell = network(f"method.output_stride={stride}", meta=True).head
    assert [branch[0].depthwise.dilation for branch in cell.branches] == rates


def test_a_cell_is_what_its_description_says():
    """Branch by branch, by hand, with the weights of the cell."""
    torch.manual_seed(0)
    cell = stirred(
        DensePredictionCell(
            in_channels=6,
            cell=[Atrous(rate=[1, 2]), Atrous(rate=[2, 1], input=0), Atrous(rate=[1, 1])],
            channels=4,
        )
    )
    x = torch.randn(2, 6, 7, 9)
    with torch.inference_mode():
        first = cell.branches[0](x)
        parts = [first, cell.branches[1](first), cell.branches[2](x)]
        assert torch.equal(cell(x), cell.project(torch.cat(parts, 1)))
        weight = cell.branches[0][0].depthwise.weight
        around = nn.functional.pad(x[:1], (2, 2, 1, 1))
        by_hand = sum(
            weight[:, 0, i, j].view(1, -1, 1, 1) * around[:, :, i : i + 7, 2 * j : 2 * j + 9]
            for i in range(3)
            for j in range(3)
        )
        found = cell.branches[0][0].depthwise(x[:1])
    torch.testing.assert_close(found, by_hand)


def test_a_cell_of_ones_own_in_yaml():
    head = build(OmegaConf.create(OWN_CELL), path="method.head")(in_channels=8)
    stirred(head)
    x = torch.randn(1, 8, 9, 13)
    with torch.inference_mode():
        assert head(x).shape == (1, 12, 9, 13)
        pooled = head.branches[0](x)
        mean = head.branches[0].mix(x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(pooled, mean.expand_as(pooled), atol=1e-5, rtol=1e-5)
    assert head.inputs == (-1, 0, 1, -1)


def test_windows_of_pyramid_pooling():
    layer = PyramidPooling(grid=[2, 4]).layer(3, 5, output_stride=16, momentum=0.1)
    seen = []
    layer.mix.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 3, 49, 33)
    layer.eval()(x)
    assert seen[0].shape == (1, 3, 25, 25)  # windows of 25 x 9
    torch.testing.assert_close(seen[0][0, :, 0, 0], x[0, :, :25, :9].mean((1, 2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Atrous(rate=[6]), r"rate=\[6\]"),
        (lambda: Atrous(rate=[0, 6]), r"rate=\[0, 6\]"),
        (lambda: Atrous(rate=[1, 6], kernel=2), "kernel=2"),
        (lambda: PyramidPooling(grid=[0, 1]), r"grid=\[0, 1\]"),
        (lambda: DensePredictionCell(in_channels=4, cell=[]), "no branch"),
        (
            lambda: DensePredictionCell(
                in_channels=4, cell=[Atrous(rate=[1, 1]), Atrous(rate=[1, 1], input=1)]
            ),
            r"cell\[1\]\.input=1 is no earlier branch.*or 0 to 0",
        ),
    ],
)
def test_what_is_no_cell_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_dropout_stands_where_the_code_has_it():
    basic, cell = (network(f"method/head={name}").head for name in ("basic", "dpc"))
    seen = {}
    for name, head in (("basic", basic), ("cell", cell)):
        head.dropout.register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: inputs[0].shape[1]})
        )
        assert head.dropout.p == 0.1
        head.eval()(torch.zeros(1, 464, 3, 3))
    assert seen == {"basic": 256, "cell": 1280}
    assert network("method.dropout=0.1").exit.dropout.p == 0.1


def test_weights_are_drawn_as_in_the_code():
    cell = network().head
    spread, mix = cell.branches[0][0].depthwise.weight, cell.branches[0][1].conv.weight
    assert spread.abs().max() <= 0.66 and 0.25 < spread.std() < 0.33  # cut at two deviations
    assert mix.abs().max() <= 0.12 and 0.045 < mix.std() < 0.06
    built = network()
    assert built.exit.classify.weight.abs().max() <= 0.02
    assert not built.exit.classify.bias.any()


@pytest.mark.parametrize("folded", [False, True])
def test_the_deployed_basic_head_says_the_same(folded):
    torch.manual_seed(0)
    head = stirred(BasicHead(in_channels=20, channels=16))
    x = torch.randn(2, 20, 9, 7)
    source = for_inference(head, lambda h: h(x)) if folded else head
    deployed = source.deployed()
    with torch.inference_mode():
        expected = head(x)
        found = deployed(x)
    assert expected.abs().mean() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert deployed.out_channels == 16
    assert not any(isinstance(m, nn.BatchNorm2d) for m in deployed.modules())


def test_group_norms_cannot_be_deployed():
    with pytest.raises(ConfigError, match=r"method\.norm=gn16 cannot be folded"):
        BasicHead(in_channels=20, channels=16, norm="gn16").deployed()
