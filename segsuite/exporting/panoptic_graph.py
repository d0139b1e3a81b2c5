"""The graph of a panoptic network: as far as shapes are fixed, which is up to the centre list.

`runtime.panoptic` makes segments of what it gives, without torch.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.exporting.graph import Graph
from segsuite.exporting.parity import Run
from segsuite.nn.grouping import Grouping
from segsuite.nn.panoptic import PanopticSegmenter
from segsuite.ops.bilinear import resized
from segsuite.ops.precision import full
from segsuite.runtime.description import OF_INSTANCES
from segsuite.runtime.panoptic import panoptic_map


class PanopticGraph(Graph):
    """Labels of all pixels, and what things are told apart by.

    Args:
        grouping: whose peaks of the heat are centres, and which groups in torch.
        things: class numbers of what is told apart.
    """

    def __init__(
        self,
        network: PanopticSegmenter,
        *,
        size: Size,
        grouping: Grouping,
        things: Collection[int],
    ) -> None:
        super().__init__(network, size=size, output="labels")
        self.grouping, self.things = grouping, sorted(things)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output, *OF_INSTANCES)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """All outputs.

        Shapes: image (1, 3, H, W) 0..255 -> labels (1, H, W) int64, probabilities (1, H, W) of
        these, offsets (1, 2, H, W) in pixels, centres (1, N, 2) int64, heat (1, N) of them
        """
        return self.given(self.network.predict(image))

    def given(self, prediction: Any) -> tuple[Tensor, ...]:
        scores = full(prediction.scores(self.size))
        probabilities = (scores.amax(1) - scores.logsumexp(1)).exp()
        places = full(resized(prediction.places, self.size))
        centres, heat = self.grouping.peaks(places[:, :1])
        (labels,) = super().given(prediction)
        return labels, probabilities, places[:, 1:], centres, heat


def equal_segments(
    run: Run, network: PanopticSegmenter, graph: PanopticGraph, images: Tensor
) -> float:
    """Share of the pixels that are in equal segments, by a file and by the network itself.

    Shapes: images (P, 3, H, W) uint8
    """
    shares = []
    with torch.inference_mode():
        for image in images.split(1):
            (evidence,) = network.evidence(network.predict(image), graph.size)
            one = graph.grouping(evidence, graph.things, seen=graph.size)
            labels, _, *places = (output[0].numpy() for output in run(image))
            other = panoptic_map(
                labels, *places, things=graph.things, stuff_area=graph.grouping.stuff_area
            )
            maps = (one.labels, one.instances, other.labels, other.instances)
            shares.append(_equal(*map(np.asarray, maps)))
    return sum(shares) / len(shares)


def _equal(*maps: NDArray[Any]) -> float:
    """Of two panoptic maps, each labels and instances (H, W).

    Numbers of instances may differ, as where two centres of nearly equal heat change places: those
    are equal of which most pixels are in one another.
    """
    labels, instances, other_labels, others = (m.ravel().astype(np.int64) for m in maps)
    same = labels == other_labels
    pairs, place, pixels = np.unique(
        np.stack([instances, others])[:, same], axis=1, return_inverse=True, return_counts=True
    )
    mutual = _largest(pairs[0], pixels) & _largest(pairs[1], pixels)
    return float(mutual[place.ravel()].sum() / labels.size)


def _largest(ids: Sequence[int] | NDArray[np.int64], pixels: NDArray[np.int64]) -> NDArray:
    """Which pairs have the most pixels among those of their id."""
    _, place = np.unique(ids, return_inverse=True)
    most = np.zeros(place.max(initial=-1) + 1, np.int64)
    np.maximum.at(most, place, pixels)
    return pixels == most[place]
