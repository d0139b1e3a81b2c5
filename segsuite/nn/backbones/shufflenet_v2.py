"""ShuffleNet V2 at the output stride that a segmentation head wants (Ma et al., ECCV 2018).

The encoder of "An efficient solution for semantic segmentation: ShuffleNet V2 with atrous separable
convolutions" (Turkmen and Heikkila, 2019), table 1: no fifth convolution, no classifier.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segsuite.core.checkpoint import load_weights
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Positive, Share
from segsuite.nn.backbones.hub import torchvision_file
from segsuite.nn.backbones.shufflenet_weights import from_torchvision
from segsuite.nn.backbones.weight_files import KEY, read_tensors, weights_file
from segsuite.nn.blocks import ConvNorm
from segsuite.nn.colours import IMAGENET
from segsuite.nn.norms import Norm, with_norm

_STEM = 24
_CHANNELS = {0.5: 48, 1.0: 116, 1.5: 176, 2.0: 244}
"""Of stage 2; every further stage has twice as many. At 2.0, the code of this paper has 224, and
torchvision has 244."""

_UNITS = (4, 8, 4)


class ShuffleNetV2(nn.Module):
    """Feature maps at stride 4 and at the output stride.

    Once that stride is reached, further strides become dilation of the 3 x 3 convolutions.

    Args:
        width: factor of the channels: 0.5, 1.0, 1.5 or 2.0.
        atrous: whether convolutions are dilated in place of strides; False for the rate of 1
            throughout that the original code has by mistake, and that its released checkpoints were
            trained with; it costs the same.
        narrow: whether the first unit of stage 2 is as wide as its input, 24 channels, as in the
            original code and in the paper's counts; torchvision's weights need it at half its
            output.
        norm: kind of the normalisation layers, see `nn.norms`.
        momentum, eps: momentum and epsilon of the batch norms (the original code's: 0.003, 1e-3).
        weights: weights to begin with: "none", a name of torchvision's for weights of this width,
            or a file of them.

    Attributes:
        channels: channels of the map at stride 4 and of the last one.
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        output_stride: Literal[8, 16, 32] = 16,
        atrous: bool = True,
        narrow: bool = False,
        norm: Norm = "bn",
        momentum: Share = 0.003,
        eps: Positive = 1e-5,
        weights: str = "none",
    ) -> None:
        super().__init__()
        if width not in _CHANNELS:
            known = ", ".join(map(str, _CHANNELS))
            raise ConfigError(f"method.backbone.width={width} is not one of {known}")
        self.width, self.weights, self.pixels = width, weights, IMAGENET
        bn: dict[str, Any] = {"momentum": momentum, "eps": eps}
        self.stem = ConvNorm(3, _STEM, kernel=3, stride=2, **bn)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        inside, out = _STEM, _CHANNELS[width]
        plan = stage_plan(output_stride, atrous=atrous)
        for index, (units, (stride, first, rest)) in enumerate(zip(_UNITS, plan, strict=True)):
            middle = inside if narrow and index == 0 else out // 2
            down = WideningUnit(inside, out, middle=middle, stride=stride, rate=first, **bn)
            basic = [SplitUnit(out, rate=rest, **bn) for _ in range(units - 1)]
            self.stages.append(nn.Sequential(down, *basic))
            inside, out = out, out * 2
        self.channels = (_STEM, inside)
        with_norm(self, norm)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 4 and at the output stride.

        A side n becomes floor((n - 1) / 2) + 1 at each stride: 769, 385, 193, 97, 49.

        Shapes: images (B, 3, H, W) -> (B, 24, H / 4, W / 4), (B, C, H / s, W / s)
        """
        fine = deep = self.pool(self.stem(images))
        for stage in self.stages:
            deep = stage(deep)
        return fine, deep

    def load_initial_weights(self) -> None:
        """Loads the pretrained weights that the config names.

        Raises:
            CheckpointError: they cannot be had, or are of another network.
        """
        if self.weights == "none":
            return
        listed = f"ShuffleNet_V2_X{self.width:.1f}_Weights".replace(".", "_")
        file = weights_file(self.weights, fetch=partial(torchvision_file, listed, key=KEY))
        self.load_torchvision(read_tensors(file), source=f"{KEY}={self.weights}")

    def load_torchvision(self, tensors: Mapping[str, Tensor], *, source: str) -> None:
        """Loads torchvision's weights of the same width, whatever the strides and rates are here.

        Raises:
            CheckpointError: a weight is missing, of another shape, or of no part of this network.
        """
        named, own = from_torchvision(tensors, source=source), self.state_dict()
        if not any(name.endswith("running_mean") for name in own):  # group norms have none
            named = {name: tensor for name, tensor in named.items() if name in own}
        load_weights(self, named, source=source)


def stage_plan(output_stride: int, *, atrous: bool = True) -> list[tuple[int, int, int]]:
    """Stride, rate of the first unit, rate of the others, for each of the three stages.

    The stride that a stage gives up becomes the rate of all that follows it.
    """
    plan, reached, rate = [], 4, 1
    for _ in _UNITS:
        if reached < output_stride:
            plan.append((2, 1, 1))
            reached *= 2
        else:
            plan.append((1, rate, 2 * rate) if atrous else (1, 1, 1))
            rate *= 2
    return plan


class SplitUnit(nn.Module):
    """The unit of stride 1: half of the channels pass, half are worked on (figure 3c).

    Args:
        bn: momentum and epsilon of the batch norms, here and in all that follows.
    """

    def __init__(self, channels: int, *, rate: int, **bn: Any) -> None:
        super().__init__()
        self.passing = half = channels // 2
        self.main = _main(half, half, half, 1, rate, **bn)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        # Slices of fixed sizes: runtimes for phones take these, and not `chunk`.
        return shuffled(x[:, : self.passing], self.main(x[:, self.passing :]))


class WideningUnit(nn.Module):
    """The first unit of a stage: two branches see all channels, which become more (figure 3d)."""

    def __init__(
        self, in_channels: int, out_channels: int, *, middle: int, stride: int, rate: int, **bn: Any
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.side = nn.Sequential(
            _depthwise(in_channels, stride, rate, **bn), ConvNorm(in_channels, half, **bn)
        )
        self.main = _main(in_channels, middle, half, stride, rate, **bn)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h / stride, w / stride)."""
        return shuffled(self.side(x), self.main(x))


def shuffled(first: Tensor, second: Tensor) -> Tensor:
    """The channels of both in turn; channels last if `second` is so.

    Shapes: first and second (B, C / 2, h, w) -> (B, C, h, w)
    """
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if not traced and second.is_contiguous(memory_format=torch.channels_last):
        # Stays in this layout: at 1025x2049 on a CPU, an eighth off the whole network's time.
        pair = [half.permute(0, 2, 3, 1) for half in (first, second)]
        return torch.stack(pair, dim=-1).flatten(3).permute(0, 3, 1, 2)
    return torch.stack([first, second], dim=2).flatten(1, 2)


def _main(inside: int, middle: int, out: int, stride: int, rate: int, **bn: Any) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(inside, middle, **bn),
        _depthwise(middle, stride, rate, **bn),
        ConvNorm(middle, out, **bn),
    )


def _depthwise(channels: int, stride: int, rate: int, **bn: Any) -> ConvNorm:
    shape: dict[str, Any] = {"kernel": 3, "stride": stride, "rate": (rate, rate)}
    return ConvNorm(channels, channels, **shape, depthwise=True, relu=False, **bn)
