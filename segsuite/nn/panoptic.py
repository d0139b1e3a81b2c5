"""What a panoptic network answers: class scores, the heat of centres, offsets to them.

Panoptic-DeepLab (Cheng et al., CVPR 2020), section 3.1: each pixel of a thing says where the centre
of its instance is. Any network that can make such maps is a `PanopticSegmenter`.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.nn.segmenter import Prediction, Segmenter
from segsuite.nn.token_trace import TokenTrace
from segsuite.ops.bilinear import resized
from segsuite.ops.precision import full

PLACES = 3
"""Maps beside the scores in the evidence: heat, and offsets, y first."""


@dataclass(frozen=True)
class PanopticPrediction:
    """Scores of the classes, and where the instances' centres are.

    Attributes:
        semantic: the scores.
        places: (B, 3, h, w) at native stride: the heat of centres, 1 at a centre, and offsets to
            the centre, y first, in pixels of the image that the network saw.
    """

    semantic: Prediction
    places: Tensor

    @property
    def trace(self) -> TokenTrace | None:
        """Which tokens were kept, where the backbone drops some."""
        return self.semantic.trace

    def labels(self, size: Size) -> Tensor:
        """(B, H, W) int64 class ids, instances or none."""
        return self.semantic.labels(size)

    def scores(self, size: Size) -> Tensor:
        """(B, K, H, W)."""
        return self.semantic.scores(size)

    def of(self, image: int) -> Self:
        """Of one image of the batch."""
        places = self.places[image : image + 1]
        return replace(self, semantic=self.semantic.of(image), places=places)


class PanopticOutput(Protocol):
    """What the loss of a panoptic network needs.

    Attributes:
        main: the network's answer.
        auxiliary: those of auxiliary heads, in training.
    """

    @property
    def main(self) -> PanopticPrediction: ...

    @property
    def auxiliary(self) -> Sequence[PanopticPrediction]: ...


class PanopticSegmenter(Segmenter, ABC):
    """A network whose `predict` gives a `PanopticPrediction`.

    Its evidence (B, K + 3, H, W) is what that holds, at the size asked for: windows, flips and
    scales average it.
    """

    def evidence(self, prediction: Any, size: Size) -> Tensor:
        """(B, K + 3, *size): scores, heat, offsets in pixels of what the network saw."""
        return torch.cat([prediction.scores(size), resized(prediction.places, size)], dim=1)

    def unmirrored(self, evidence: Tensor) -> Tensor:
        """Mirrored back; what was to the left is to the right."""
        back = evidence.flip(-1)
        return torch.cat([back[:, :-1], back[:, -1:].neg()], dim=1)

    def unscaled(self, evidence: Tensor, scale: float) -> Tensor:
        """Offsets in pixels of the image, of those in pixels of its copy."""
        return torch.cat([evidence[:, :-2], evidence[:, -2:] / scale], dim=1)

    def log_probabilities(self, output: PanopticOutput, size: Size) -> Tensor:
        """(B, K, *size): of the classes, for what is taught or teaches."""
        return full(output.main.scores(size)).log_softmax(1)

    def decide(self, evidence: Tensor, size: Size) -> Tensor:
        """Class ids, by the scores alone."""
        return super().decide(evidence[:, :-PLACES], size)


def in_pixels(raw: Tensor, size: Size) -> Tensor:
    """A head's maps whose offsets are in steps of its grid, in pixels of the image it saw.

    In float32 at least: heat that is resized in bfloat16 has plateaus, and so several peaks.

    Shapes: raw (B, 3, h, w) -> the same
    """
    raw = full(raw)
    steps = [side / of for side, of in zip(size, raw.shape[-2:], strict=True)]
    return raw * raw.new_tensor([1.0, *steps]).view(1, PLACES, 1, 1)
