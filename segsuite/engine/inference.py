"""From pictures of any size to label maps: whole, in windows, at several scales.

All of them pad to what the network divides by, crop exactly, and work on batches: pictures of one
size are stacked, windows of all pictures share batches.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import torch
from torch import Tensor

from segsuite.core.contract import Prediction, Segmenter
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Positive, Sides
from segsuite.core.sizes import Size
from segsuite.engine.framing import (
    at_least,
    grown,
    padded_to,
    pair,
    resized,
    resized_picture,
    rounded_up,
    scaled,
    size_of,
)

Watcher = Callable[[Prediction, list[int]], None]
"""Is told of every prediction made on whole pictures, and which pictures they were."""


class Inference(ABC):
    """A way to apply a network to pictures of any sizes."""

    def labels(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        """Class ids for each picture, at the size asked for.

        Shapes: images (3, h, w) each -> (H, W) int64 each
        """
        found = self.evidence(network, images, sizes, watch=watch)
        return [network.decide(e[None], size)[0] for e, size in zip(found, sizes, strict=True)]

    @abstractmethod
    def evidence(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        """What the network decides by for each picture, at the size asked for: scores, mostly.

        Shapes: images (3, h, w) each -> (E, H, W) each
        """


class Whole(Inference):
    """The whole picture at once. `labels` never holds a map of K channels at full size.

    Args:
        batch: pictures of one size that go through the network together.
    """

    def __init__(self, *, batch: Annotated[int, Between(1)] = 8) -> None:
        self.batch = batch

    def labels(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        answer: list[Tensor | None] = [None] * len(images)
        for members, prediction, padded in _predicted(network, images, sizes, self.batch, watch):
            size, seen = sizes[members[0]], size_of(images[members[0]])
            # Padding is at the bottom and right: ask for the larger map, and crop it.
            labels = prediction.labels(grown(size, seen, padded))[:, : size[0], : size[1]]
            for member, map_ in zip(members, labels, strict=True):
                answer[member] = map_
        return answer

    def evidence(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        answer: list[Tensor | None] = [None] * len(images)
        for members, prediction, padded in _predicted(network, images, sizes, self.batch, watch):
            seen = size_of(images[members[0]])
            maps = network.evidence(prediction, padded)[:, :, : seen[0], : seen[1]]
            maps = resized(maps, sizes[members[0]])
            for member, map_ in zip(members, maps, strict=True):
                answer[member] = map_
        return answer


class Slide(Inference):
    """Overlapping windows whose evidence is averaged; the last ones end flush with the border.

    Pictures smaller than the window are padded to it.

    Args:
        window: height and width of a window, what the network was trained with.
        stride: rows and columns from one window to the next.
        batch: windows that go through the network together, of whichever pictures.
    """

    def __init__(
        self,
        *,
        window: Sides,
        stride: Sides,
        batch: Annotated[int, Between(1)] = 8,
    ) -> None:
        self.window, self.stride, self.batch = pair(window), pair(stride), batch
        if any(not 0 < step <= side for step, side in zip(self.stride, self.window, strict=True)):
            raise ConfigError(
                f"inference.stride={list(self.stride)} must be between 1 and inference.window="
                f"{list(self.window)}: larger strides would leave pixels without a score"
            )

    def labels(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        del watch  # it is told of whole pictures only
        averages = self._averages(network, images)
        return [network.decide(a[None], size)[0] for a, size in zip(averages, sizes, strict=True)]

    def evidence(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        del watch
        averages = self._averages(network, images)
        return [resized(a[None], size)[0] for a, size in zip(averages, sizes, strict=True)]

    def _averages(self, network: Segmenter, images: Sequence[Tensor]) -> Iterator[Tensor]:
        """(E, h, w) for each picture, as soon as its last window is done."""
        self._check(network)
        canvases = [
            padded_to(i, at_least(size_of(i), self.window), network.pad_value) for i in images
        ]
        places = [(i, *place) for i, image in enumerate(canvases) for place in self._places(image)]
        (height, width), total, count, current = self.window, None, None, 0
        for start in range(0, len(places), self.batch):
            chunk = places[start : start + self.batch]
            windows = [canvases[i][:, y : y + height, x : x + width] for i, y, x in chunk]
            found = network.evidence(network.predict(torch.stack(windows)), self.window)
            for (i, y, x), score in zip(chunk, found, strict=True):
                if total is None or i != current:
                    if total is not None:
                        yield self._average(total, count, size_of(images[current]))
                    total = score.new_zeros(score.shape[0], *size_of(canvases[i]))
                    count = score.new_zeros(size_of(canvases[i]))
                    current = i
                total[:, y : y + height, x : x + width] += score
                count[y : y + height, x : x + width] += 1
        if total is not None:
            yield self._average(total, count, size_of(images[current]))

    @staticmethod
    def _average(total: Tensor, count: Tensor, size: Size) -> Tensor:
        return (total / count)[:, : size[0], : size[1]]

    def _places(self, image: Tensor) -> list[tuple[int, int]]:
        """Top left corners of the windows."""
        rows, columns = (
            [min(first, side - window) for first in range(0, side - window + step, step)]
            for side, window, step in zip(size_of(image), self.window, self.stride, strict=True)
        )
        return [(y, x) for y in rows for x in columns]

    def _check(self, network: Segmenter) -> None:
        if any(side % network.size_divisor for side in self.window):
            raise ConfigError(
                f"inference.window={list(self.window)} must be multiples of {network.size_divisor}"
                f" for {type(network).__name__}"
            )


class MultiScale(Inference):
    """Evidence averaged over resized and mirrored copies of the picture.

    Args:
        scales: factors on the sides of the picture.
        flip: also mirror each copy.
        base: how each copy is done.
    """

    def __init__(self, *, scales: Sequence[Positive], flip: bool, base: Inference) -> None:
        if not scales:
            raise ConfigError("inference.scales=[] must be one or more factors above 0")
        self.scales, self.flip, self.base = tuple(scales), flip, base

    def evidence(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        totals: list[Tensor] | None = None
        for scale in self.scales:
            copies = [resized_picture(i, scaled(size_of(i), scale)) for i in images]
            for mirrored in (False, True) if self.flip else (False,):
                seen = [copy.flip(-1) for copy in copies] if mirrored else copies
                told = watch if scale == 1 and not mirrored else None
                found = self.base.evidence(network, seen, sizes, watch=told)
                found = [maps.flip(-1) for maps in found] if mirrored else found
                totals = (
                    found if totals is None else [t + f for t, f in zip(totals, found, strict=True)]
                )
        passes = len(self.scales) * (1 + self.flip)
        return [total / passes for total in totals or []]


def _predicted(
    network: Segmenter,
    images: Sequence[Tensor],
    sizes: Sequence[Size],
    batch: int,
    watch: Watcher | None,
) -> Iterator[tuple[list[int], Prediction, Size]]:
    """Predictions on stacks of pictures of one size, with their indices and padded size."""
    alike: dict[tuple[Size, Size], list[int]] = defaultdict(list)
    for index, (image, size) in enumerate(zip(images, sizes, strict=True)):
        alike[size_of(image), size].append(index)
    for (seen, _), indices in alike.items():
        padded = rounded_up(seen, network.size_divisor)
        for start in range(0, len(indices), batch):
            members = indices[start : start + batch]
            stack = torch.stack([images[i] for i in members])
            prediction = network.predict(padded_to(stack, padded, network.pad_value))
            if watch is not None:
                watch(prediction, members)
            yield members, prediction, padded
