"""A light encoder at output stride 16, a DeepLab head, class scores, bilinear upsampling.

Paper: "An efficient solution for semantic segmentation: ShuffleNet V2 with atrous separable
convolutions" (Turkmen and Heikkila, 2019).
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import Count, Positive, Share
from segsuite.core.sizes import Size
from segsuite.nn.blocks import truncated_normal
from segsuite.nn.colours import IMAGENET, Backbone, load_initial_weights, stated
from segsuite.nn.normalize import Normalize
from segsuite.nn.predictions import StridedPrediction
from segsuite.nn.segmenter import Segmenter


class ExitFlow(nn.Module):
    """From features to class scores, and nothing of a decoder behind (figure 5).

    Args:
        dropout: dropout of the scores, where the paper draws it. Its code has none here, but one in
            each head, which is what counts.
    """

    def __init__(self, *, in_channels: int, num_classes: int, dropout: Share = 0.0) -> None:
        super().__init__()
        self.classify = nn.Conv2d(in_channels, num_classes, 1)
        self.dropout = nn.Dropout(dropout)
        truncated_normal(self.classify.weight, 0.01)
        nn.init.zeros_(self.classify.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, num_classes, h, w)."""
        return self.dropout(self.classify(x))


class MobileSegmenter(Segmenter):
    """A backbone, a head and the exit flow.

    Args:
        head: makes the head; takes `in_channels`, the channels of the backbone's deep map.
        output_stride: output stride of the backbone.
        dropout: dropout of the class scores, see `ExitFlow`.
        border: what lies beyond the last grid point. `repeat`: its scores. `pad`: images are
            padded below and to the right to sides of stride * n + 1, so that nothing does; this is
            how the paper sees Cityscapes, at 1025 x 2049.
        mean, std: mean and standard deviation of the pixels, in 0..255; x * 2 / 255 - 1 unless said
            otherwise.
        weights_mean, weights_std: those that the backbone's initial weights were trained with; as
            it says itself unless both are given. They are brought to `mean` and `std`.
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        head: Callable[..., nn.Module],
        num_classes: Count,
        output_stride: Literal[8, 16, 32] = 16,
        dropout: Share = 0.0,
        border: Literal["repeat", "pad"] = "repeat",
        mean: Sequence[float] = (127.5, 127.5, 127.5),
        std: Sequence[Positive] = (127.5, 127.5, 127.5),
        weights_mean: Sequence[float] | None = None,
        weights_std: Sequence[Positive] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.output_stride, self.border = num_classes, output_stride, border
        self.pad_value = tuple(mean)
        # A backbone of one's own that does not say it is taken for one of ImageNet's.
        self._trained = stated(weights_mean, weights_std) or getattr(backbone, "pixels", IMAGENET)
        self._given = (tuple(mean), tuple(std))
        self.normalize = Normalize(mean=tuple(mean), std=tuple(std))
        self.backbone = backbone
        self.head = head(in_channels=backbone.channels[-1])
        self.exit = ExitFlow(
            in_channels=self.head.out_channels, num_classes=num_classes, dropout=dropout
        )

    def forward(self, images: Tensor) -> StridedPrediction:
        """Class scores at native stride, which know how to get to the size of the labels.

        Shapes: images (B, 3, H, W) in 0..255; any size
        """
        pixels = self.normalize(images)
        if not torch.compiler.is_exporting():  # other runtimes have layouts of their own
            # Convolutions work in this one, a third faster, whatever their weights lie in.
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        seen = tuple(images.shape[-2:])
        if self.border == "pad":
            down, right = (-(side - 1) % self.output_stride for side in seen)
            pixels = F.pad(pixels, (0, right, 0, down))  # 0 is the mean colour here
        scores = self.exit(self.head(self.backbone(pixels)[-1]))
        return StridedPrediction(scores, seen=seen, stride=self.output_stride)

    def predict(self, images: Tensor) -> StridedPrediction:
        """The best class of every pixel."""
        return self(images)

    def log_probabilities(self, output: StridedPrediction, size: Size) -> Tensor:
        """(B, K, *size)."""
        grid = output.grid_scores.float()
        rows, columns = (matrix.to(grid) for matrix in output.resizing(size))
        with torch.autocast(grid.device.type, enabled=False):  # never at the size of the images
            return (rows @ grid @ columns.T).log_softmax(1)

    def load_initial_weights(self) -> None:
        """Loads the backbone's pretrained weights, as its config names them.

        Raises:
            ConfigError: these expect other colours, and cannot be brought to ours.
        """
        load_initial_weights(self.backbone, trained=self._trained, given=self._given)
