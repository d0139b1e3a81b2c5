"""What is said of an image: the class of each pixel, and its segments where things are told apart.

How a network's evidence becomes an answer is a `Decision`; what is written and drawn of answers
asks only what is in them.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.engine.inference.framing import size_of
from segsuite.engine.inference.modes import Inference
from segsuite.nn.grouping import Grouping, PanopticMap
from segsuite.nn.segmenter import Segmenter


@dataclass(frozen=True)
class Segments:
    """A panoptic map, and a table of its N instances.

    Attributes:
        labels: (H, W) class numbers, IGNORE for void.
        instances: (H, W) int32 ids, 0 where there is no instance.
        ids: (N,) int64, those in `instances`; a map that was stretched may have lost some of them.
        classes: (N,) int64 the class number of each.
        scores: (N,) float32 how sure the network is of each, for instance AP.
    """

    labels: Tensor
    instances: Tensor
    ids: Tensor
    classes: Tensor
    scores: Tensor

    @classmethod
    def of(cls, found: PanopticMap, *, dtype: torch.dtype = torch.int64) -> Self:
        """What grouping found, with labels of that type, which is signed."""
        return cls(found.labels.to(dtype), found.instances, *found.table)


@dataclass(frozen=True)
class Answer:
    """What is said of one image.

    Attributes:
        labels: (H, W) class numbers, the likeliest of each pixel, in a narrow integer type.
        segments: of networks that tell things apart.
    """

    labels: Tensor
    segments: Segments | None = None

    @property
    def drawn(self) -> tuple[Tensor, Tensor | None]:
        """What pictures show: class numbers (H, W), and the ids to draw borders between, if any."""
        if self.segments is None:
            return self.labels, None
        return self.segments.labels, self.segments.instances

    def cpu(self) -> Self:
        """The same on the CPU."""
        segments = self.segments and Segments(*(m.cpu() for m in vars(self.segments).values()))
        return type(self)(self.labels.cpu(), segments)


class Decision(ABC):
    """How answers are made of images.

    Args:
        dtype: type of labels, which holds all class numbers.
    """

    def __init__(self, inference: Inference, *, dtype: torch.dtype) -> None:
        self.inference, self.dtype = inference, dtype

    @abstractmethod
    def __call__(
        self, network: Segmenter, images: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Answer]:
        """The answer for each image, at the size asked for.

        Shapes: images (3, h, w) each
        """


class Labelled(Decision):
    """The class of each pixel alone."""

    def __call__(
        self, network: Segmenter, images: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Answer]:
        return list(map(Answer, self.inference.labels(network, images, sizes, dtype=self.dtype)))


class Grouped(Decision):
    """Segments too.

    Args:
        things: class numbers of what is told apart.
    """

    def __init__(
        self,
        inference: Inference,
        *,
        dtype: torch.dtype,
        grouping: Grouping,
        things: Collection[int],
    ) -> None:
        super().__init__(inference, dtype=dtype)
        self._grouping, self._things = grouping, sorted(things)

    def __call__(
        self, network: Segmenter, images: Sequence[Tensor], sizes: Sequence[Size]
    ) -> list[Answer]:
        kinds = {"grouping": self._grouping, "things": self._things}
        found = panoptic_maps_of(network, images, sizes, inference=self.inference, **kinds)
        signed = torch.int16 if self.dtype == torch.uint8 else self.dtype  # void is negative
        return [Answer(f.semantic.to(self.dtype), Segments.of(f, dtype=signed)) for f in found]


def panoptic_maps_of(
    network: Segmenter,
    images: Sequence[Tensor],
    sizes: Sequence[Size],
    *,
    inference: Inference,
    grouping: Grouping,
    things: Sequence[int],
) -> list[PanopticMap]:
    """What a panoptic network says of each image, at the size asked for.

    Images go through it together, as `inference` has it, and are grouped one after another: the
    evidence at an image's size is a number for each class and pixel.

    Shapes: images (3, h, w) each

    Args:
        things: class numbers of what is told apart, ascending.
    """
    found = {
        index: grouping(evidence, things, seen=size_of(images[index]))
        for index, evidence in inference.in_turn(network, images, sizes)
    }
    return [found[index] for index in range(len(images))]
