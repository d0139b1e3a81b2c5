"""What is trained faster answers and learns as before."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.nn.deploy import deployed
from segsuite.nn.for_training import make_ready
from segsuite.nn.pointwise import PointwiseProduct
from segsuite.ops.bilinear import resized

LAST = torch.channels_last


def learnt(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Answers, and the gradients of images and weights."""
    images = images.detach().requires_grad_()
    found = network(images)
    (found * torch.arange(found.numel()).view_as(found).sin()).sum().backward()
    return [found.detach(), images.grad, *(p.grad for p in network.parameters())]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [LAST, torch.contiguous_format])
def test_a_product_is_the_convolution(bias: bool, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(5, 7, 1, bias=bias), nn.ReLU6(inplace=True)).double()
    ready = copy.deepcopy(plain)
    make_ready(ready)
    assert type(ready[0]) is PointwiseProduct and not ready[1].inplace
    assert ready.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(3, 5, 4, 6, dtype=torch.double).contiguous(memory_format=layout)
    for one, two in zip(learnt(plain, images), learnt(ready, images), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    assert ready(images).is_contiguous(memory_format=layout)


def test_convolutions_are_products_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    make_ready(network)
    images = torch.randn(2, 3, 4, 4).contiguous(memory_format=LAST)
    products: list[int] = []
    real = F.linear
    monkeypatch.setattr(F, "linear", lambda *a: products.append(1) or real(*a))
    with torch.no_grad():
        network(images)
    network.requires_grad_(False)(images)
    network.requires_grad_(True)(images.contiguous())
    assert not products
    network(images)
    assert products


def test_what_is_more_than_a_plain_pointwise_convolution_stays() -> None:
    class Own(nn.Conv2d):
        pass

    kept = [Own(4, 4, 1), nn.Conv2d(4, 4, 1, 2), nn.Conv2d(4, 4, 1, groups=2)]
    kept += [nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, padding=1)]
    shared = nn.Conv2d(4, 4, 1)
    network = nn.Sequential(*kept, nn.Sequential(shared), shared)
    make_ready(network)
    assert all(network[n] is module for n, module in enumerate(kept))
    assert network[-1] is network[-2][0] and type(network[-1]) is PointwiseProduct


def test_a_trained_network_is_deployed_with_what_was_replaced() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    make_ready(network)
    network(torch.randn(2, 3, 4, 4))
    network.eval()
    images = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(deployed(network, lambda n: n(images))(images), network(images))


@pytest.mark.parametrize("layout", [LAST, torch.contiguous_format])
@pytest.mark.parametrize("size", [(12, 20), (7, 5), (3, 16), (9, 11)])
def test_gradients_of_resizing_are_torchs(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 3, 5, dtype=torch.double).contiguous(memory_format=layout)
    pulls = torch.randn(2, 3, *size, dtype=torch.double).contiguous(memory_format=layout)
    grads = []
    for resize in (resized, lambda x, s: F.interpolate(x, s, mode="bilinear")):
        x = maps.clone().requires_grad_()
        found = resize(x, size)
        found.backward(pulls)
        grads.append((found.detach(), x.grad))
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: resized(x, size), x)
