"""The network of a genotype with an instance head beside the semantic one, and its task."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from segsuite.core.arguments import with_arguments_of
from segsuite.core.sizes import Size
from segsuite.methods.hyctas.backbone import Features
from segsuite.methods.hyctas.network import HybridSegmenter, initialise
from segsuite.nn.panoptic import PanopticPrediction, PanopticSegmenter, in_pixels


class PanopticHybridSegmenter(PanopticSegmenter, HybridSegmenter):
    """As `HybridSegmenter`, and where the centres of instances are.

    Args:
        instance_head: makes the instance head; takes `read`, the channels of the maps.
    """

    training_only: ClassVar[tuple[str, ...]] = (
        *HybridSegmenter.training_only,
        "auxiliary_instance_heads",
    )

    @with_arguments_of(HybridSegmenter)
    def __init__(self, *, instance_head: Callable[..., nn.Module], **common: Any) -> None:
        super().__init__(**common)
        self.instance_head = instance_head(read=self.backbone.channels)
        maps = self.auxiliary_maps
        self.auxiliary_instance_heads = nn.ModuleList(
            self.instance_head.auxiliary(channels)
            for channels in (maps.out_channels if maps and len(self.auxiliary_heads) else ())
        )
        self.instance_head.apply(initialise)
        self.auxiliary_instance_heads.apply(initialise)

    def answer(self, features: Features, size: Size) -> PanopticPrediction:
        places = in_pixels(self.instance_head(features), size)
        return PanopticPrediction(super().answer(features, size), places)

    def beside(self, maps: Sequence[Tensor], size: Size) -> list[PanopticPrediction]:
        heads = zip(super().beside(maps, size), self.auxiliary_instance_heads, maps, strict=True)
        return [PanopticPrediction(one, in_pixels(head(map_), size)) for one, head, map_ in heads]
