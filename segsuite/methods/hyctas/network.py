"""The network of a genotype: backbone, head, bilinear upsampling of the scores.

Paper: "Real-Time Image Segmentation via Hybrid Convolutional-Transformer Architecture Search"
(Yu et al., 2024).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import Count, Positive, Share
from segsuite.core.sizes import Size
from segsuite.methods.hyctas.aggregation import AuxiliaryFusion
from segsuite.methods.hyctas.backbone import Backbone, Features
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.nn.drop_path import DropPath
from segsuite.nn.normalize import Normalize
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.segmenter import Segmenter

AuxiliaryHeads = Literal["trained", "none", "fusions"]


@dataclass(frozen=True)
class Output:
    """What the loss needs.

    Attributes:
        main: the network's scores, and centres and offsets where it has an instance head.
        auxiliary: those of the auxiliary heads, in training.
    """

    main: Any
    auxiliary: Sequence[Any]


class HybridSegmenter(Segmenter):
    """A network of convolutions and attention as its genotype says.

    Args:
        genotype: the architecture.
        head: makes the head; takes `read`, the channels of the maps, and `num_classes`.
        gate: whether the aggregated channels are weighted by what the whole image shows.
        auxiliary_heads: `trained` beside the network at 1/16 and 1/32, and not run otherwise;
            `none`; or `fusions`, what makes the maps for such heads without the heads, which
            nothing reads: the released networks have it, and so do their counts of parameters.
        drop_path: probability, at the end of training, with which the main path of a cell is left
            out for an image (`HybridTask` raises it from 0).
        mean, std: mean and standard deviation of the pixels, in 0..255.
    """

    size_divisor = 32
    training_only: ClassVar[tuple[str, ...]] = ("auxiliary_maps", "auxiliary_heads")

    def __init__(
        self,
        *,
        genotype: Genotype,
        head: Callable[..., nn.Module],
        num_classes: Count,
        gate: bool = True,
        auxiliary_heads: AuxiliaryHeads = "trained",
        drop_path: Share = 0.0,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[Positive] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pad_value = tuple(mean)
        self.normalize = Normalize(mean=mean, std=std)
        self.backbone = Backbone(
            genotype,
            drop_path=drop_path,
            gate=gate,
        )
        self.head = head(read=self.backbone.channels, num_classes=num_classes)
        # Beside the backbone, so that one without them is a whole backbone to begin with.
        self.auxiliary_maps = (
            AuxiliaryFusion(genotype, self.backbone.tapped, gate=gate)
            if auxiliary_heads != "none"
            else None
        )
        deep = self.auxiliary_maps
        self.auxiliary_heads = nn.ModuleList(
            self.head.auxiliary(channels, num_classes)
            for channels in (deep.out_channels if deep and auxiliary_heads == "trained" else ())
        )
        self._drop_path = drop_path
        self.apply(initialise)

    def forward(self, images: Tensor) -> Output:
        """Scores of the head, and in training those of the auxiliary heads.

        Shapes: images (B, 3, H, W) in 0..255; H and W multiples of 32
        """
        self.check_size(images)
        pixels = self.normalize(images)
        if not torch.compiler.is_exporting():  # other runtimes have layouts of their own
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        learning = self.training and len(self.auxiliary_heads) > 0
        features = self.backbone(pixels, branches=learning)
        size = (images.shape[-2], images.shape[-1])
        auxiliary: list[Any] = []
        if learning and self.auxiliary_maps is not None:
            auxiliary = self.beside(self.auxiliary_maps(features.ends, features.taps), size)
        return Output(self.answer(features, size), auxiliary)

    def answer(self, features: Features, size: Size) -> Any:
        """What the heads say of an image of that size."""
        del size
        return GridPrediction(self.head(features))

    def beside(self, maps: Sequence[Tensor], size: Size) -> list[Any]:
        """What the auxiliary heads say, one of each map."""
        del size
        heads = zip(self.auxiliary_heads, maps, strict=True)
        return [GridPrediction(head(map_)) for head, map_ in heads]

    def predict(self, images: Tensor) -> Any:
        """The best class of every pixel."""
        return self(images).main

    def raise_drop_path(self, share: float) -> None:
        """Lets main paths be dropped with `share` of the final probability, as training goes on.

        Args:
            share: share of the training that is done.
        """
        for part in self.modules():
            if isinstance(part, DropPath):
                part.probability = share * self._drop_path

    def log_probabilities(self, output: Output, size: Size) -> Tensor:
        """(B, K, *size)."""
        scores = output.main.grid_scores.float()
        return F.interpolate(scores, size=size, mode="bilinear", align_corners=False).log_softmax(1)


def initialise(module: nn.Module) -> None:
    """As the released code: He's normal draw for every convolution, biases of 0."""
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
