"""From images of any size to label maps: whole, in windows, at several scales.

All of them pad to what the network divides by, crop exactly, and work on batches: images of one
size are stacked, windows of all images share batches.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

import torch
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Positive, Sides
from segsuite.core.sizes import Size
from segsuite.engine.inference.framing import (
    at_least,
    grown,
    padded_to,
    pair,
    rounded_up,
    scaled,
    size_of,
    with_labels_resized,
)
from segsuite.engine.inference.windows import Block, assembled, averaged
from segsuite.nn.segmenter import Prediction, Segmenter
from segsuite.ops.bilinear import bilinear_neighbours, resized

Images = Sequence[Tensor]
"""(3, h, w) each."""

Sizes = Sequence[Size]
"""What is asked for of each image."""

Watcher = Callable[[Prediction, list[int]], None]
"""Is told of every prediction made on whole images, and which images they were."""

_AT_ONCE = 2**24
"""Labels, or numbers of evidence, that are worked on at once where an image has more of them."""


class Inference(ABC):
    """A way to apply a network to images of any sizes."""

    def labels(
        self,
        network: Segmenter,
        images: Images,
        sizes: Sizes,
        *,
        watch: Watcher | None = None,
        dtype: torch.dtype = torch.int64,
    ) -> list[Tensor]:
        """Class ids for each image, at the size asked for.

        Shapes: images (3, h, w) each -> (H, W) each

        Args:
            dtype: type of the ids; int16 makes the answer for a large image a quarter as large.
        """
        evidence = zip(self.evidence(network, images, sizes, watch=watch), sizes, strict=True)
        return [decided(network, maps, size, dtype=dtype) for maps, size in evidence]

    @abstractmethod
    def evidence(
        self, network: Segmenter, images: Images, sizes: Sizes, *, watch: Watcher | None = None
    ) -> list[Tensor]:
        """What the network decides by for each image, at the size asked for: scores, mostly.

        Shapes: images (3, h, w) each -> (E, H, W) each
        """

    def in_turn(
        self, network: Segmenter, images: Images, sizes: Sizes
    ) -> Iterator[tuple[int, Tensor]]:
        """The number of each image and its `evidence`, made when it is asked for.

        Evidence at an image's size is large: whoever is done with one before the next holds one.
        """
        for index, (image, size) in enumerate(zip(images, sizes, strict=True)):
            yield index, self.evidence(network, [image], [size])[0]


@dataclass(frozen=True)
class _Stack:
    """What a network said of images of one size.

    Attributes:
        members: which of all images they are.
        seen, padded: size of the images, and as the network got them.
        size: size that is asked for.
    """

    prediction: Prediction
    members: list[int]
    seen: Size
    padded: Size
    size: Size

    def evidence(self, network: Segmenter, prediction: Prediction) -> Tensor:
        """(B, E, *size): of these predictions, or of some of them."""
        maps = network.evidence(prediction, self.padded)[:, :, : self.seen[0], : self.seen[1]]
        return resized(maps, self.size)


class Whole(Inference):
    """The whole image at once. `labels` never holds a map of K channels at full size.

    Args:
        batch: images of one size that go through the network together.
    """

    def __init__(self, *, batch: Count = 8) -> None:
        self.batch = batch

    def labels(
        self,
        network: Segmenter,
        images: Images,
        sizes: Sizes,
        *,
        watch: Watcher | None = None,
        dtype: torch.dtype = torch.int64,
    ) -> list[Tensor]:
        answer: dict[int, Tensor] = {}
        for one in self._predictions(network, images, sizes, watch):
            # Padding is at the bottom and right: ask for the larger map, and crop it.
            labels = one.prediction.labels(grown(one.size, one.seen, one.padded))
            labels = labels[:, : one.size[0], : one.size[1]].to(dtype)
            answer.update(zip(one.members, labels, strict=True))
        return [answer[index] for index in range(len(images))]

    def evidence(
        self, network: Segmenter, images: Images, sizes: Sizes, *, watch: Watcher | None = None
    ) -> list[Tensor]:
        answer: dict[int, Tensor] = {}
        for one in self._predictions(network, images, sizes, watch):
            answer.update(zip(one.members, one.evidence(network, one.prediction), strict=True))
        return [answer[index] for index in range(len(images))]

    def in_turn(
        self, network: Segmenter, images: Images, sizes: Sizes
    ) -> Iterator[tuple[int, Tensor]]:
        for one in self._predictions(network, images, sizes, None):
            for place, index in enumerate(one.members):
                yield index, one.evidence(network, one.prediction.of(place))[0]

    def _predictions(
        self, network: Segmenter, images: Images, sizes: Sizes, watch: Watcher | None
    ) -> Iterator[_Stack]:
        """Predictions on stacks of images of one size, seen and asked for."""
        alike: dict[tuple[Size, Size], list[int]] = defaultdict(list)
        for index, (image, size) in enumerate(zip(images, sizes, strict=True)):
            alike[size_of(image), size].append(index)
        for (seen, size), indices in alike.items():
            padded = rounded_up(seen, network.size_divisor)
            for start in range(0, len(indices), self.batch):
                members = indices[start : start + self.batch]
                stack = torch.stack([images[i] for i in members])
                prediction = network.predict(padded_to(stack, padded, network.pad_value))
                if watch is not None:
                    watch(prediction, members)
                yield _Stack(prediction, members, seen, padded, size)


class Slide(Inference):
    """Overlapping windows whose evidence is averaged; the last ones end flush with the border.

    Images smaller than the window are padded to it.

    Memory beside the image and its labels: the evidence of about three windows, E numbers for each
    of their pixels, and the network's predictions, at native stride, for one column of windows. So
    an image of any size is segmented in little memory, where its labels are asked for at the size
    that the network sees, or a larger one. `evidence` itself holds E numbers for every pixel.

    Args:
        window: height and width of a window, what the network was trained with.
        stride: rows and columns from one window to the next.
        batch: windows that go through the network together, of whichever images.
    """

    def __init__(self, *, window: Sides, stride: Sides, batch: Count = 8) -> None:
        self.window, self.stride, self.batch = pair(window), pair(stride), batch
        if any(not 0 < step <= side for step, side in zip(self.stride, self.window, strict=True)):
            raise ConfigError(
                f"inference.stride={list(self.stride)} must be between 1 and inference.window="
                f"{list(self.window)}: larger strides would leave pixels without a score"
            )

    def labels(
        self,
        network: Segmenter,
        images: Images,
        sizes: Sizes,
        *,
        watch: Watcher | None = None,
        dtype: torch.dtype = torch.int64,
    ) -> list[Tensor]:
        del watch  # it is told of whole images only
        answer = []
        for index, blocks in self._blocks(network, images):
            seen, size = size_of(images[index]), sizes[index]
            if seen == size:  # each block is decided at once, and its evidence forgotten
                labels = (
                    replace(b, values=network.decide(b.values[None], size_of(b.values))[0])
                    for b in blocks
                )
                answer.append(assembled(labels, size, dtype=dtype))
            else:
                answer.append(decided(network, assembled(blocks, seen), size, dtype=dtype))
        return answer

    def evidence(
        self, network: Segmenter, images: Images, sizes: Sizes, *, watch: Watcher | None = None
    ) -> list[Tensor]:
        del watch
        return [evidence for _, evidence in self.in_turn(network, images, sizes)]

    def in_turn(
        self, network: Segmenter, images: Images, sizes: Sizes
    ) -> Iterator[tuple[int, Tensor]]:
        for index, blocks in self._blocks(network, images):
            whole = assembled(blocks, size_of(images[index]))
            yield index, resized(whole[None], sizes[index])[0]

    def _blocks(self, network: Segmenter, images: Images) -> Iterator[tuple[int, Iterator[Block]]]:
        """Averages, image by image; images are padded to the window, and so are their blocks."""
        if any(side % network.size_divisor for side in self.window):
            raise ConfigError(
                f"inference.window={list(self.window)} must be multiples of {network.size_divisor}"
                f" for {type(network).__name__}"
            )
        canvases = [
            padded_to(i, at_least(size_of(i), self.window), network.pad_value) for i in images
        ]
        blocks = averaged(
            network, canvases, window=self.window, stride=self.stride, batch=self.batch
        )
        return groupby(blocks, key=attrgetter("image"))


class MultiScale(Inference):
    """Evidence averaged over resized and mirrored copies of the image.

    Memory: the evidence of three whole images at the size asked for, E numbers for each pixel (7 GB
    for 2000x2000 and 150 classes), whatever `base` is: what one scale says is needed until all have
    been asked. Large images are for `Slide` alone.

    Args:
        scales: factors on the sides of the image.
        flip: whether each copy is also mirrored.
        base: the mode that each copy is segmented by.
    """

    def __init__(self, *, scales: Sequence[Positive], flip: bool, base: Inference) -> None:
        if not scales:
            raise ConfigError("inference.scales=[] must be one or more factors above 0")
        self.scales, self.flip, self.base = tuple(scales), flip, base

    def evidence(
        self, network: Segmenter, images: Images, sizes: Sizes, *, watch: Watcher | None = None
    ) -> list[Tensor]:
        totals: list[Tensor | float] = [0.0] * len(images)
        for scale in self.scales:
            copies = [with_labels_resized(i, scaled(size_of(i), scale)) for i in images]
            for mirrored in (False, True) if self.flip else (False,):
                seen = [copy.flip(-1) for copy in copies] if mirrored else copies
                told = watch if scale == 1 and not mirrored else None
                evidence = self.base.evidence(network, seen, sizes, watch=told)
                evidence = [network.unscaled(maps[None], scale)[0] for maps in evidence]
                if mirrored:
                    evidence = [network.unmirrored(maps[None])[0] for maps in evidence]
                totals = [t + e for t, e in zip(totals, evidence, strict=True)]
        passes = len(self.scales) * (1 + self.flip)
        return [total / passes for total in totals]


def decided(
    network: Segmenter, evidence: Tensor, size: Size, *, dtype: torch.dtype = torch.int64
) -> Tensor:
    """Class ids of an image's evidence, which is upsampled bilinearly first.

    Large answers are made some rows at a time, in memory that does not grow with them; scores that
    tie within rounding may then be decided otherwise.

    Shapes: evidence (E, h, w) -> (*size)
    """
    height, width = size
    if height * width <= _AT_ONCE:
        return network.decide(evidence[None], size)[0].to(dtype)
    low, weight = bilinear_neighbours(evidence.shape[1], height, device=evidence.device)
    high, weight = (low + 1).clamp(max=evidence.shape[1] - 1), weight[:, None].to(evidence)
    labels = torch.empty(size, dtype=dtype, device=evidence.device)
    numbers = max(evidence.shape[0] * evidence.shape[2], width)
    for rows in torch.arange(height, device=evidence.device).split(max(_AT_ONCE // numbers, 1)):
        lines = torch.lerp(evidence[:, low[rows]], evidence[:, high[rows]], weight[rows])
        labels[rows] = network.decide(lines[None], (len(rows), width))[0].to(dtype)
    return labels
