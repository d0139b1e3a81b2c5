"""Panoptic-DeepLab: a decoder for classes and one for instances on any backbone's feature maps.

Paper: "Panoptic-DeepLab" (Cheng et al., CVPR 2020), section 3.1. The paper's decoders read a map at
1/8 too, between the two that are read here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segsuite.core.hints import Count, Positive
from segsuite.core.sizes import Size
from segsuite.nn.backbones.feature_maps import FeatureMaps
from segsuite.nn.colours import load_initial_weights, stated
from segsuite.nn.heads.deeplab_v3plus import DeepLabV3Plus, conv_norm_relu
from segsuite.nn.normalize import Normalize
from segsuite.nn.norms import Norm, with_norm
from segsuite.nn.panoptic import PanopticPrediction, PanopticSegmenter, in_pixels
from segsuite.nn.predictions import GridPrediction


@dataclass(frozen=True)
class Output:
    """What the loss needs; there are no auxiliary heads."""

    main: PanopticPrediction
    auxiliary: Sequence[PanopticPrediction] = ()


class InstanceHead(nn.Module):
    """From a decoder's map to the heat of centres and the offsets to them.

    Args:
        channels: channels between the two convolutions of each.
        separable: whether the 3 x 3 convolutions are made per channel, then 1 x 1.
    """

    def __init__(self, *, in_channels: int, channels: int, separable: bool, norm: Norm) -> None:
        super().__init__()
        self.heat, self.offsets = (
            nn.Sequential(
                conv_norm_relu(in_channels, channels, 3, separable=separable),
                nn.Conv2d(channels, count, 1),
            )
            for count in (1, 2)
        )
        with_norm(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, 3, h, w): heat, then offsets, y first, in steps of the grid."""
        return torch.cat([self.heat(x), self.offsets(x)], dim=1)


class PanopticDeepLab(PanopticSegmenter):
    """A backbone, two DeepLabV3+ decoders, and three heads at stride 4.

    Args:
        decoder: makes a decoder; takes `in_channels`, the channels of the backbone's two maps, and
            `channels`.
        channels, instance_channels: channels of the decoder for classes and of that for instances
            (paper: 256, 128).
        head_channels: channels inside of the heads for centres and offsets (paper: 32).
        mean, std, weights_mean, weights_std: as of the other networks with such backbones.
    """

    def __init__(
        self,
        *,
        backbone: FeatureMaps,
        decoder: Callable[..., DeepLabV3Plus],
        num_classes: Count,
        channels: Count = 256,
        instance_channels: Count = 128,
        head_channels: Count = 32,
        separable: bool = True,
        norm: Norm = "bn",
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[Positive] = (58.395, 57.12, 57.375),
        weights_mean: Sequence[float] | None = None,
        weights_std: Sequence[Positive] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pad_value = tuple(mean)
        self._given = (tuple(mean), tuple(std))
        self._trained = stated(weights_mean, weights_std)
        self.normalize = Normalize(mean=tuple(mean), std=tuple(std))
        self.backbone = backbone
        self.decoder = decoder(in_channels=backbone.channels, channels=channels)
        self.instance_decoder = decoder(in_channels=backbone.channels, channels=instance_channels)
        self.classify = nn.Conv2d(channels, num_classes, 1)
        self.instance_head = InstanceHead(
            in_channels=instance_channels, channels=head_channels, separable=separable, norm=norm
        )
        self.to(memory_format=torch.channels_last)  # as `forward` lays its pixels

    def forward(self, images: Tensor) -> Output:
        """Scores, centres and offsets at stride 4.

        Shapes: images (B, 3, H, W) in 0..255; any size
        """
        pixels = self.normalize(images).contiguous(memory_format=torch.channels_last)
        maps = self.backbone(pixels)
        size: Size = (images.shape[-2], images.shape[-1])
        places = in_pixels(self.instance_head(self.instance_decoder(*maps)), size)
        return Output(
            PanopticPrediction(GridPrediction(self.classify(self.decoder(*maps))), places)
        )

    def predict(self, images: Tensor) -> PanopticPrediction:
        """Classes, and where the centres of instances are."""
        return self(images).main

    def load_initial_weights(self) -> None:
        """Loads the backbone's pretrained weights, as its config names them.

        Raises:
            ConfigError: these expect other colours, and cannot be brought to ours.
        """
        load_initial_weights(self.backbone, trained=self._trained, given=self._given)
