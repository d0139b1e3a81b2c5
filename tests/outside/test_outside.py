"""Networks of other libraries: their scores are taken as they are, whatever they come in."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from segsuite.core.errors import ConfigError
from segsuite.engine.inference.candidates import from_experiment
from segsuite.measure.operations import count, count_parameters
from segsuite.methods.outside.libraries import (
    smp_network,
    torchvision_network,
    ultralytics_network,
)
from segsuite.methods.outside.network import OutsideSegmenter
from segsuite.nn.pixel_loss import PixelCrossEntropy

SIZE = (64, 96)


class Made(nn.Module):
    """A convolution of stride 4, and its scores in some wrapping."""

    def __init__(self, wrap=lambda scores: scores, classes: int = 5) -> None:
        super().__init__()
        self.scores, self.wrap = nn.Conv2d(3, classes, 4, stride=4), wrap

    def forward(self, images: Tensor):
        return self.wrap(self.scores(images))


def images() -> Tensor:
    return torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8, generator=torch.Generator())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda scores: scores,
        lambda scores: {"out": scores, "aux": scores * 2},
        lambda scores: [scores, scores[..., ::2, ::2]],
        lambda scores: (scores,),
    ],
    ids=["tensor", "mapping", "list", "tuple"],
)
def test_scores_are_taken_out_of_what_they_come_in(wrap):
    network = OutsideSegmenter(network=Made(wrap), num_classes=5).eval()
    expected = network.network.scores(network.normalize(images()))
    found = network.predict(images())
    torch.testing.assert_close(found.grid_scores, expected)
    larger = nn.functional.interpolate(expected, size=SIZE, mode="bilinear", align_corners=False)
    assert torch.equal(found.labels(SIZE), larger.argmax(1))
    assert network.log_probabilities(found, SIZE).exp().sum(1).allclose(torch.ones(2, *SIZE))


@pytest.mark.parametrize(
    ("wrap", "got"),
    [
        (lambda scores: {"scores": scores}, "NoneType"),
        (lambda scores: scores.mean((2, 3)), r"\(2, 5\)"),
        (lambda scores: scores[:, :4], r"\(2, 4, 16, 24\)"),
        (lambda scores: [], "list"),
    ],
)
def test_what_is_no_map_of_scores_is_refused(wrap, got):
    network = OutsideSegmenter(network=Made(wrap), num_classes=5)
    with pytest.raises(ConfigError, match=rf"Made gives {got} where scores of \(batch, 5,"):
        network(images())


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_scores_are_those_before_its_upsampling(name):
    torch.manual_seed(0)
    theirs = get_model(name, weights=None, weights_backbone=None, num_classes=5).eval()
    ours = torchvision_network(name=name, num_classes=5).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if "aux" not in k})
    pixels = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        coarse, whole = ours(pixels), theirs(pixels)["out"]
    assert coarse.shape[-1] < SIZE[1] / 4
    larger = nn.functional.interpolate(coarse, size=SIZE, mode="bilinear", align_corners=False)
    torch.testing.assert_close(larger, whole)


def test_torchvisions_network_learns():
    torch.manual_seed(0)
    made = torchvision_network(name="lraspp_mobilenet_v3_large", num_classes=5)
    network = OutsideSegmenter(network=made, num_classes=5).train()
    labels = torch.randint(5, (2, *SIZE))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = PixelCrossEntropy()(network(images()), labels)["ce"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    with torch.no_grad(), pytest.raises(ConfigError, match="multiple"):
        network(images()[..., :65])


def test_a_name_that_a_library_does_not_have():
    with pytest.raises(ConfigError, match="it has deeplabv3_mobilenet_v3_large, "):
        torchvision_network(name="resnet18", num_classes=5)


@pytest.mark.parametrize(
    ("module", "make", "name"),
    [
        ("ultralytics", ultralytics_network, "yolo26n-sem"),
        ("segmentation_models_pytorch", lambda **k: smp_network(encoder="resnet18", **k), "Unet"),
    ],
)
def test_a_library_that_is_not_installed_is_named(module, make, name, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    monkeypatch.setitem(sys.modules, f"{module}.nn.tasks", None)
    with pytest.raises(ConfigError, match=rf"type pip install {module.replace('_', '-')}"):
        make(name=name, num_classes=5)


def test_a_version_of_a_library_that_lacks_a_network_is_no_crash(monkeypatch):
    for name in ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(nn=None, tasks=None))
    with pytest.raises(ConfigError, match="ultralytics makes no yolo26n-sem"):
        ultralytics_network(name="yolo26n-sem", num_classes=5)


def test_counts_of_yolo_are_those_that_are_printed():
    pytest.importorskip("ultralytics")
    size = (1024, 2048)
    network = from_experiment("yolo26n_cityscapes", size=size).network
    assert round(count_parameters(network) / 1e6, 1) == 1.6
    image = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
    assert count(network, image).everything.gmacs == pytest.approx(11.35, rel=0.06)


def test_batch_norms_keep_the_librarys_momentum_unless_told_otherwise():
    def momenta(**given) -> set[float]:
        made = nn.Sequential(nn.BatchNorm2d(3, momentum=0.01), nn.Conv2d(3, 5, 1))
        network = OutsideSegmenter(network=made, num_classes=5, **given)
        return {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}

    assert (momenta(), momenta(momentum=0.1)) == ({0.01}, {0.1})
