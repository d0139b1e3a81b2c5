"""From a panoptic network's evidence to a panoptic map."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from segsuite.core.hints import Between, Share
from segsuite.core.labels import IGNORE
from segsuite.core.panoptic import LABEL_DIVISOR
from segsuite.core.sizes import Size
from segsuite.nn.panoptic import PLACES
from segsuite.ops.centre_list import centre_list
from segsuite.ops.panoptic_grouping import Panoptic, panoptic_maps
from segsuite.ops.precision import full


@dataclass(frozen=True)
class PanopticMap:
    """What is said of one image.

    Attributes:
        semantic: (H, W) int64 the likeliest class of each pixel, whatever became of instances.
        labels: (H, W) int64 classes, IGNORE for void.
        instances: (H, W) int32 ids, class * 1000 + number; 0 for stuff and void.
        classes, areas, scores: (K,) of each instance, K slots; the class IGNORE where a slot has
            none. Areas in pixels; scores are for instance AP.
    """

    semantic: Tensor
    labels: Tensor
    instances: Tensor
    classes: Tensor
    areas: Tensor
    scores: Tensor

    @property
    def ids(self) -> Tensor:
        """(K,) int64: the id of each instance in the map."""
        number = torch.arange(1, len(self.classes) + 1, device=self.classes.device)
        return self.classes * LABEL_DIVISOR + number

    @property
    def table(self) -> tuple[Tensor, Tensor, Tensor]:
        """(N,) each: ids, classes and scores of the N instances that there are."""
        there = self.classes != IGNORE
        return self.ids[there], self.classes[there], self.scores[there]


class Grouping:
    """The post-processing of Panoptic-DeepLab: peaks of the heat are centres, pixels join them.

    Args:
        threshold: heat that a centre must exceed.
        kernel: side in pixels, odd, of the window in which a centre is the highest (COCO: 41).
        most: how many centres an image may have.
        stuff_area: pixels below which all of a stuff class becomes void (COCO: 4096).
    """

    def __init__(
        self,
        *,
        threshold: Share = 0.1,
        kernel: Annotated[int, Between(1)] = 7,
        most: Annotated[int, Between(1, 999)] = 200,
        stuff_area: Annotated[int, Between(0)] = 2048,
    ) -> None:
        self.stuff_area = stuff_area
        self.peaks = partial(centre_list, threshold=threshold, kernel=kernel, count=most)
        self.peaks(torch.zeros(1, 1, 1, 1))  # refuses a kernel without a middle

    @torch.no_grad()
    def __call__(self, evidence: Tensor, things: Collection[int], *, seen: Size) -> PanopticMap:
        """The map of one image.

        Args:
            things: class numbers of things.
            seen: size of the image whose pixels offsets are in.

        Shapes: evidence (K + 3, H, W) as of a `PanopticSegmenter`
        """
        scores = evidence[:-PLACES]
        top, labels = scores.max(0)
        probabilities = (full(top) - full(scores).logsumexp(0)).exp()
        places = full(evidence[-PLACES:])
        size = evidence.shape[-2:]
        steps = places.new_tensor([side / of for side, of in zip(size, seen, strict=True)])
        centres, heat = self.peaks(places[None, :1])
        found: Panoptic = panoptic_maps(
            labels[None],
            (places[1:] * steps[:, None, None])[None],
            centres,
            heat,
            things=things,
            stuff_area=self.stuff_area,
            probabilities=probabilities[None],
        )
        maps = {name: tensor[0] for name, tensor in found._asdict().items() if tensor is not None}
        return PanopticMap(semantic=labels, **maps)
