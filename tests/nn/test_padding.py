"""Points of a feature map lie on every stride-th pixel of the image, from the first on."""

import pytest
import torch
from torch import nn

from segsuite.core.build import build
from segsuite.core.errors import CheckpointError
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint
from segsuite.engine.launch.record import plain
from segsuite.engine.resuming import ResumePoint
from segsuite.nn.backbones.feature_maps import FeatureMaps
from segsuite.nn.backbones.shufflenet_v2 import ShuffleNetV2

STRIDES = 4, 16

SIDE = 96
"""Even, since TensorFlow's padding depends on it, and larger than what a point sees here."""


def offset(backbone: nn.Module, *, stride: int) -> Size:
    """How far from pixel (stride * i, stride * j) the middle of what point (i, j) sees is.

    Convolutions of stride 1, whose padding is even, look at their middle alone, so that a small
    image serves.
    """
    backbone = backbone.double().eval()
    for name, module in list(backbone.named_children()):
        if isinstance(module, nn.MaxPool2d):  # which shows only one pixel of each window
            setattr(backbone, name, nn.AvgPool2d(module.kernel_size, module.stride, module.padding))
    for conv in (m for m in backbone.modules() if isinstance(m, nn.Conv2d)):
        kernel = torch.full_like(conv.weight, 1 / conv.weight[0].numel())
        if max(conv.stride) == 1:
            middle = torch.zeros_like(kernel)
            middle[..., kernel.shape[-1] // 2, kernel.shape[-1] // 2] = 1
            kernel *= middle
        conv.weight.data = kernel
    image = torch.full((1, 3, SIDE, SIDE), 1e-9, dtype=torch.double)  # no ReLU6 is at its end
    image.requires_grad_()
    features = backbone(image)[0 if stride == 4 else 1]
    assert features.shape[-2:] == (SIDE // stride,) * 2
    point = features.shape[-1] // 2
    features[0, :, point, point].sum().backward()
    seen = image.grad[0].sum(0).nonzero()
    assert seen.min() > 0 and seen.max() < SIDE - 1, "the border would hide a part"
    first, last = seen.amin(0), seen.amax(0)
    down, right = ((first + last) / 2 - stride * point).tolist()
    return down, right


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(
    "backbone",
    [
        lambda: ShuffleNetV2(weights="none"),
        lambda: FeatureMaps(name="mobilenetv2_100"),
        lambda: FeatureMaps(name="tf_efficientnet_lite0", padding="symmetric"),
    ],
)
def test_every_point_sees_around_its_own_pixel(backbone, stride):
    assert offset(backbone(), stride=stride) == (0, 0)


def test_as_timm_has_it_the_grid_lies_further_on():
    timms = {s: offset(FeatureMaps(name="tf_efficientnet_lite0"), stride=s) for s in STRIDES}
    assert timms == {4: (3, 3), 16: (15, 15)}


def test_convolutions_of_standardised_weights_are_padded_evenly_too():
    body = FeatureMaps(name="dm_nfnet_f0", padding="symmetric").body
    convs = [m for m in body.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    assert convs and all(conv.padding == (1, 1) and not conv.same_pad for conv in convs)


def test_a_training_from_before_the_choice_goes_on_as_it_began(tmp_path):
    """Its config names no padding; the same weights would be those of another network."""
    cfg = compose("train", ["experiment=mobile_dpc_camvid_lite0", "data=scenes"])
    now, path = plain(cfg), tmp_path / "last.ckpt"
    network = build(cfg.method.network, path="method.network")
    content = as_checkpoint(cfg, network, ClassTable.load("cityscapes19"))
    for part in (content["config"]["method"]["backbone"], _backbone(content["config"])):
        del part["padding"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"type method\.backbone\.padding=timm to go on$"):
        ResumePoint(path, now)
    _backbone(now)["padding"] = "timm"
    with pytest.raises(CheckpointError, match="no whole checkpoint"):  # it holds weights alone
        ResumePoint(path, now)


def _backbone(config):
    return config["method"]["network"]["backbone"]


@pytest.mark.parametrize("choice", ["lite0", "timm", "mobilenetv2"])
def test_configs_pad_evenly_whatever_network_is_named(choice):
    typed = [f"method/backbone={choice}", "method.backbone.name=tf_efficientnet_lite0"]
    cfg = compose("train", ["experiment=mobile_dpc_camvid_lite0", "data=scenes", *typed])
    backbone = build(cfg.method.backbone, path="method.backbone")
    strided = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    assert strided and all(type(conv) is nn.Conv2d for conv in strided)
