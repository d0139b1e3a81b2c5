"""Dilated convolutions per channel answer and learn alike on sub-grids."""

import copy

import pytest
import torch
from torch import nn

from segsuite.nn.deploy import deployed
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


def taken(network: nn.Module, images: torch.Tensor, monkeypatch) -> list[int]:
    """The rates of dilation with which torch is asked to convolve."""
    rates, real = [], torch.conv2d

    def noted(x, weight, bias, stride, padding, dilation=1, groups=1):
        rates.append(dilation if isinstance(dilation, int) else dilation[0])
        return real(x, weight, bias, stride, padding, dilation, groups)

    def simple(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        return noted(x, weight, bias, stride, padding, dilation, groups)

    monkeypatch.setattr(torch.nn.functional, "conv2d", simple)
    network(images)
    return rates


def test_it_is_undilated_where_it_learns_and_the_grids_are_wide_enough(monkeypatch):
    network = convolution(2)
    split_dilations(network)
    wide, narrow = (torch.zeros(1, 6, *size, dtype=torch.float64) for size in ((8, 8), (8, 4)))
    assert taken(network, wide, monkeypatch) == [1]
    assert taken(network, narrow, monkeypatch) == [2]
    with torch.no_grad():
        assert taken(network, wide, monkeypatch) == [2]
    assert taken(network.requires_grad_(False), wide, monkeypatch) == [2]


def test_the_answer_lies_as_the_image_does():
    network = convolution(2)
    split_dilations(network)
    images = torch.zeros(2, 6, 9, 8, dtype=torch.float64)
    assert network(images).is_contiguous()
    last = {"memory_format": torch.channels_last}
    assert network(images.contiguous(**last)).is_contiguous(**last)
    assert network(images[0]).shape == (12, 9, 8)


def test_one_that_two_modules_share_stays_one():
    shared = convolution(2)[0]
    network = nn.ModuleList([nn.Sequential(shared), nn.Sequential(shared)])
    split_dilations(network)
    assert network[0][0] is network[1][0] and type(network[0][0]) is SplitDilation


def test_it_is_folded_and_fused_as_any_other():
    torch.manual_seed(0)
    plain = nn.Sequential(*convolution(2, bias=False), nn.BatchNorm2d(12), nn.ReLU()).float()
    split = copy.deepcopy(plain)
    split_dilations(split)
    images = torch.randn(1, 6, 8, 8)
    kinds = []
    for network in (plain, split):
        made = deployed(network, lambda its: its(images))
        kinds.append([type(part) for part in made])
        torch.testing.assert_close(made(images), plain.eval()(images))
    assert kinds[0] == kinds[1] and nn.BatchNorm2d not in kinds[0]


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
