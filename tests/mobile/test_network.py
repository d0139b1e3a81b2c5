"""The network in the contract: predictions, colours, training, weight decay."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.engine.inference.modes import MultiScale, Slide, Whole
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.record import plain
from segsuite.engine.optim import parameter_groups
from segsuite.methods.mobile.network import MobileSegmenter
from segsuite.nn.folding import for_inference
from segsuite.nn.pixel_loss import PixelCrossEntropy
from tests.mobile.made import network, stirred

BACKBONES = ["shufflenet_v2", "mobilenetv2", "timm method.backbone.name=mobilenetv4_conv_small"]
HEADS = ["basic", "dpc"]


def chosen(backbone: str, head: str) -> list[str]:
    return [f"method/head={head}", *f"method/backbone={backbone}".split()]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_keeps_the_contract(backbone, head):
    built = network(*chosen(backbone, head), classes=5).eval()
    images = torch.randint(0, 256, (2, 3, 65, 97), dtype=torch.uint8)
    with torch.inference_mode():
        prediction = built.predict(images)
        assert prediction.grid_scores.shape == (2, 5, 5, 7)
        scores = prediction.scores((65, 97))
        assert torch.equal(prediction.labels((65, 97)), scores.argmax(1))


@pytest.mark.parametrize(
    "inference",
    [
        Whole(),
        Slide(window=[64, 64], stride=[40, 40]),
        MultiScale(scales=[1.0, 0.75], flip=True, base=Whole()),
    ],
    ids=["whole", "slide", "multiscale"],
)
def test_any_inference_takes_images_of_any_size(inference):
    built = stirred(network("method/head=basic", classes=7))
    images = [torch.rand(3, 64, 96) * 255, torch.rand(3, 71, 90) * 255]
    with torch.inference_mode():
        found = inference.labels(built, images, [(64, 96), (30, 45)])
    assert [f.shape for f in found] == [(64, 96), (30, 45)]
    assert all(f.dtype == torch.int64 and f.min() >= 0 and f.max() < 7 for f in found)


def test_pixels_become_x_2_by_255_minus_1():
    built = network("method/head=basic").eval()
    seen = []
    built.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = (
        torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(32 * 32, 1).T.reshape(1, 3, 32, 32)
    )
    built.predict(images)
    expected = torch.tensor([-1, -0.6, 1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    torch.testing.assert_close(seen[0], expected, atol=1e-6, rtol=0)
    assert built.pad_value == (127.5, 127.5, 127.5)


def test_padding_the_border_is_padding_the_image():
    padding = stirred(network("method/head=basic", "method.border=pad", classes=4))
    repeating = stirred(network("method/head=basic", classes=4))
    images = torch.rand(1, 3, 64, 90) * 255
    by_hand = F.pad(images, (0, 7, 0, 1), value=127.5)
    with torch.inference_mode():
        found = padding.predict(images)
        expected = repeating.predict(by_hand)
    torch.testing.assert_close(found.grid_scores, expected.grid_scores)
    whole = expected.scores((65, 97))[..., :64, :90]
    torch.testing.assert_close(found.scores((64, 90)), whole)


@pytest.mark.parametrize("backbone", BACKBONES[:2])
def test_weights_that_expect_imagenets_colours_are_brought_to_ours(backbone, tmp_path):
    """As if the image were normalised as theirs, away from the border."""
    plain = [*chosen(backbone, "basic"), "method.output_stride=32"]
    theirs = network(
        *plain, "method.mean=[123.675,116.28,103.53]", "method.std=[58.395,57.12,57.375]"
    )
    stirred(theirs)
    ours = network(*plain)
    ours.load_state_dict(theirs.state_dict())
    ours.backbone.weights = "theirs"
    ours.backbone.load_initial_weights = lambda: None
    ours.load_initial_weights()
    images = torch.rand(2, 3, 65, 65) * 255
    first, second = ([], [])
    for built, found in ((theirs, first), (ours, second)):
        norm = next(m for m in built.backbone.modules() if isinstance(m, nn.BatchNorm2d))
        norm.register_forward_hook(lambda _m, _i, result, found=found: found.append(result))
        built.eval().predict(images)
    torch.testing.assert_close(
        first[0][..., 1:-1, 1:-1], second[0][..., 1:-1, 1:-1], atol=2e-5, rtol=1e-4
    )
    unread = network(*plain)
    unread.load_state_dict(theirs.state_dict())
    assert not torch.equal(unread.backbone.state_dict()[_first(unread)], _weight(ours))


def _first(built: MobileSegmenter) -> str:
    return next(n for n in built.backbone.state_dict() if n.endswith("weight"))


def _weight(built: MobileSegmenter) -> torch.Tensor:
    return built.backbone.state_dict()[_first(built)]


def test_colours_that_cannot_be_read_are_said():
    built = network("method/head=basic", "method.norm=gn16")
    built.backbone.weights = "theirs"
    built.backbone.load_initial_weights = lambda: None
    with pytest.raises(ConfigError, match=r"type method\.mean=\[123\.675.*method\.std"):
        built.load_initial_weights()


@pytest.mark.parametrize("head", HEADS)
def test_a_step_of_training(head):
    built = network(f"method/head={head}", classes=4).train()
    labels = torch.randint(0, 4, (2, 64, 64))
    labels[0, :20] = IGNORE
    images = torch.rand(2, 3, 64, 64) * 255
    output = built(images)
    losses = PixelCrossEntropy()(output, labels)
    full = output.scores((64, 64))
    picked = full.log_softmax(1).gather(1, labels.clamp(min=0)[:, None])[:, 0]
    expected = -picked[labels != IGNORE].mean()
    torch.testing.assert_close(losses["ce"], expected)
    losses["ce"].backward()
    without = [n for n, p in built.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_no_labelled_pixel_is_a_loss_of_0():
    built = network("method/head=basic", classes=4).train()
    labels = torch.full((2, 33, 33), IGNORE)
    loss = PixelCrossEntropy()(built(torch.rand(2, 3, 33, 33) * 255), labels)["ce"]
    loss.backward()
    assert float(loss.detach()) == 0.0 and not built.exit.classify.weight.grad.any()


def test_one_image_cannot_train_image_pooling():
    built = network("method/head=basic").train()
    with pytest.raises(ConfigError, match=r"data\.batch_size to 2.*method\.norm=gn16"):
        built(torch.rand(1, 3, 64, 64) * 255)
    network("method/head=basic", "method.norm=gn16").train()(torch.rand(1, 3, 64, 64) * 255)
    network("method/head=dpc").train()(torch.rand(1, 3, 64, 64) * 255)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_weight_decay_spares_depthwise_weights_norms_and_biases(backbone, head):
    built = network(*chosen(backbone, head), meta=True)
    cfg = compose("train", ["method=mobile", "data=scenes"])
    groups = parameter_groups(built.named_parameters(), plain(cfg.method.groups))
    spared = {id(p) for g in groups if g.get("weight_decay") == 0 for p in g["params"]}
    decayed = {id(p) for g in groups if g.get("weight_decay") != 0 for p in g["params"]}
    expected = {
        id(m.weight)
        for m in built.modules()
        if isinstance(m, nn.Conv2d) and (m.groups == 1 or m.groups < m.in_channels)
    }
    assert decayed == expected
    assert len(spared) + len(decayed) == len(list(built.parameters()))


@pytest.mark.parametrize("head", HEADS)
def test_all_batch_norms_fold_into_convolutions(head):
    built = stirred(network(f"method/head={head}", classes=4))
    images = torch.rand(1, 3, 65, 65) * 255
    folded = for_inference(built, lambda n: n.predict(images))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        expected, found = (n.predict(images).grid_scores for n in (built, folded))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_it_can_be_exported_for_fixed_shapes(head):
    class Labels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            small = ("method.backbone.width=0.5", f"method/head={head}")
            self.network = stirred(network(*small, classes=4))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network.predict(images).labels((32, 48))

    images = torch.rand(1, 3, 32, 48) * 255
    labels = Labels().eval()
    with torch.inference_mode():
        assert torch.equal(torch.export.export(labels, (images,)).module()(images), labels(images))
