"""Dilated convolutions per channel answer and learn alike on sub-grids."""

import copy

import pytest
import torch
from torch import nn

from segsuite.nn.dilated import SplitDilation, split_dilations


def convolution(rate: int, kernel: int | tuple[int, int] = 3, **settings) -> nn.Sequential:
    torch.manual_seed(0)
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    usual = {"padding": [rate * (side // 2) for side in sides], "dilation": rate, "groups": 6}
    return nn.Sequential(nn.Conv2d(6, 12, kernel, **{**usual, **settings})).double()


@pytest.mark.parametrize(
    ("rate", "kernel", "size"),
    [(2, 3, (8, 10)), (2, 5, (11, 13)), (3, (3, 5), (16, 17)), (4, 3, (13, 12)), (6, 3, (4, 5))],
)
@pytest.mark.parametrize("bias", [True, False])
def test_answers_and_gradients_are_those_of_the_convolution(rate, kernel, size, bias):
    plain = convolution(rate, kernel, bias=bias)
    split = copy.deepcopy(plain)
    split_dilations(split)
    assert (
        type(split[0]) is SplitDilation and split.state_dict().keys() == plain.state_dict().keys()
    )
    images = torch.randn(3, 6, *size, dtype=torch.float64, requires_grad=True)
    results = []
    for network in (plain, split):
        images.grad = None
        found = network(images)
        (found * torch.arange(found.numel()).view_as(found).sin()).sum().backward()
        results.append([found, images.grad, *(p.grad for p in network.parameters())])
        with torch.no_grad():
            torch.testing.assert_close(network(images), found)
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"stride": 2},
        {"dilation": 1, "padding": 1},
        {"dilation": (2, 3)},
        {"padding": 0},
        {"groups": 2},
        {"padding_mode": "reflect"},
    ],
)
def test_others_are_left_alone(settings):
    network = convolution(2, **settings)
    before = network[0]
    split_dilations(network)
    assert network[0] is before


def test_weights_are_the_same_objects():
    network = convolution(2)
    weight, mode = network[0].weight, network.eval()[0].training
    split_dilations(network)
    assert network[0].weight is weight and network[0].training is mode
