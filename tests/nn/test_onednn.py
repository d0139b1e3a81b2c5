"""Convolutions in one step of oneDNN answer as they do in two or three."""

import pytest
import torch
from torch import nn

from segsuite.nn.folding import for_inference
from segsuite.nn.onednn import FusedConvolution, fused


def made(**kind) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(12, 12, **kind)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    "kind",
    [
        {"kernel_size": 1},
        {"kernel_size": 1, "bias": False},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "groups": 12, "padding": (2, 3), "dilation": (2, 3)},
        {"kernel_size": 3, "groups": 12, "padding": (4, 9), "dilation": (4, 9)},
    ],
    ids=["1x1", "no bias", "stride", "per channel", "wide rate"],
)
def test_same_answers(kind, relu):
    convolution = made(**kind)
    ready = FusedConvolution(convolution, relu=relu)
    # Half of the channels of another map, as ShuffleNet's units cut them.
    x = torch.randn(1, 24, 17, 23).contiguous(memory_format=torch.channels_last)[:, 12:]
    expected = convolution(x).relu() if relu else convolution(x)
    torch.testing.assert_close(ready(x), expected)
    with torch.inference_mode():
        found = ready(x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        doubled = FusedConvolution(convolution.double(), relu=relu)(x.double())
        torch.testing.assert_close(doubled, expected.double(), rtol=1e-4, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


class Skips(nn.Sequential):
    """Looks like a sequence, and is none."""

    def forward(self, x):
        x = self[0](x)
        return self[1](x) + x


def test_only_a_relu_that_comes_next_is_taken_in():
    network = nn.Sequential(
        nn.Sequential(made(kernel_size=1), nn.Sequential(), nn.ReLU(), nn.ReLU()),
        Skips(made(kernel_size=1), nn.ReLU()),
        nn.Sequential(made(kernel_size=1), nn.Sigmoid(), nn.ReLU()),
        made(kernel_size=3, padding=1, padding_mode="reflect"),
    )
    x = torch.randn(2, 12, 5, 6)
    with torch.no_grad():
        expected = network(x)
        assert fused(network) is network
        torch.testing.assert_close(network(x), expected)
    took = [m.relu for m in network.modules() if isinstance(m, FusedConvolution)]
    assert took == [True, False, False]
    assert sum(isinstance(m, nn.ReLU) for m in network.modules()) == 3


class Standardised(nn.Conv2d):
    """Changes its weights on the way, as timm's StdConv2d does."""

    def forward(self, x):
        return self._conv_forward(x, self.weight * 2, self.bias)


def test_convolutions_of_other_kinds_are_left_alone():
    torch.manual_seed(0)
    network = nn.Sequential(Standardised(3, 3, 1), nn.BatchNorm2d(3)).eval()
    network[1].running_mean.fill_(0.5)
    x = torch.randn(1, 3, 4, 4)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(for_inference(network, lambda n: n(x))(x), expected)
        torch.testing.assert_close(fused(network)(x), expected)
        assert not any(isinstance(m, FusedConvolution) for m in network.modules())


def test_autocast_is_heeded():
    network = nn.Sequential(made(kernel_size=1), nn.ReLU())
    x = torch.randn(1, 12, 4, 4)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert fused(network)(x).dtype == torch.bfloat16
