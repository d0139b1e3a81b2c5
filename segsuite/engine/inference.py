"""From pictures of any size to label maps: whole, in windows, at several scales.

All of them pad to what the network divides by, crop exactly, and work on batches: pictures of one
size are stacked, windows of all pictures share batches.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.contract import IGNORE, Prediction, Segmenter, Size
from segsuite.core.errors import ConfigError
from segsuite.ops.upsample import upsampled_argmax

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
        found = self.scores(network, images, sizes, watch=watch)
        return [scores.argmax(dim=0) for scores in found]

    @abstractmethod
    def scores(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        """Scores for each picture, at the size asked for.

        Shapes: images (3, h, w) each -> (K, H, W) each
        """


class Whole(Inference):
    """The whole picture at once. `labels` never holds a map of K channels at full size.

    Args:
        batch: pictures of one size that go through the network together.
    """

    def __init__(self, *, batch: int = 8) -> None:
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
            size, seen = sizes[members[0]], _size(images[members[0]])
            # Padding is at the bottom and right: ask for the larger map, and crop it.
            labels = prediction.labels(_grown(size, seen, padded))[:, : size[0], : size[1]]
            for member, map_ in zip(members, labels, strict=True):
                answer[member] = map_
        return answer

    def scores(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        answer: list[Tensor | None] = [None] * len(images)
        for members, prediction, padded in _predicted(network, images, sizes, self.batch, watch):
            seen = _size(images[members[0]])
            maps = prediction.scores(padded)[:, :, : seen[0], : seen[1]]
            maps = _resized(maps, sizes[members[0]])
            for member, map_ in zip(members, maps, strict=True):
                answer[member] = map_
        return answer


class Slide(Inference):
    """Overlapping windows whose scores are averaged; the last ones end flush with the border.

    Pictures smaller than the window are padded to it.

    Args:
        window: height and width of a window, what the network was trained with.
        stride: rows and columns from one window to the next.
        batch: windows that go through the network together, of whichever pictures.
    """

    def __init__(self, *, window: Sequence[int], stride: Sequence[int], batch: int = 8) -> None:
        self.window, self.stride, self.batch = _pair(window), _pair(stride), batch
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
        return [_argmax(average, size) for average, size in zip(averages, sizes, strict=True)]

    def scores(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        del watch
        averages = self._averages(network, images)
        return [_resized(a[None], size)[0] for a, size in zip(averages, sizes, strict=True)]

    def _averages(self, network: Segmenter, images: Sequence[Tensor]) -> Iterator[Tensor]:
        """(K, h, w) for each picture, as soon as its last window is done."""
        self._check(network)
        grown = [_padded(i, _at_least(_size(i), self.window), network.pad_value) for i in images]
        places = [(i, *place) for i, image in enumerate(grown) for place in self._places(image)]
        (height, width), total, count, current = self.window, None, None, 0
        for start in range(0, len(places), self.batch):
            chunk = places[start : start + self.batch]
            windows = [grown[i][:, y : y + height, x : x + width] for i, y, x in chunk]
            scores = network.predict(torch.stack(windows)).scores(self.window)
            for (i, y, x), score in zip(chunk, scores, strict=True):
                if total is None or i != current:
                    if total is not None:
                        yield self._average(total, count, _size(images[current]))
                    total = score.new_zeros(score.shape[0], *_size(grown[i]))
                    count = score.new_zeros(_size(grown[i]))
                    current = i
                total[:, y : y + height, x : x + width] += score
                count[y : y + height, x : x + width] += 1
        if total is not None:
            yield self._average(total, count, _size(images[current]))

    @staticmethod
    def _average(total: Tensor, count: Tensor, size: Size) -> Tensor:
        return (total / count)[:, : size[0], : size[1]]

    def _places(self, image: Tensor) -> list[tuple[int, int]]:
        """Top left corners of the windows."""
        rows, columns = (
            [min(first, side - window) for first in range(0, side - window + step, step)]
            for side, window, step in zip(_size(image), self.window, self.stride, strict=True)
        )
        return [(y, x) for y in rows for x in columns]

    def _check(self, network: Segmenter) -> None:
        if any(side % network.size_divisor for side in self.window):
            raise ConfigError(
                f"inference.window={list(self.window)} must be multiples of {network.size_divisor}"
                f" for {type(network).__name__}"
            )


class MultiScale(Inference):
    """Scores averaged over resized and mirrored copies of the picture.

    Args:
        scales: factors on the sides of the picture.
        flip: also mirror each copy.
        base: how each copy is done.
    """

    def __init__(self, *, scales: Sequence[float], flip: bool, base: Inference) -> None:
        if not scales or min(scales) <= 0:
            raise ConfigError(
                f"inference.scales={list(scales)} must be one or more factors above 0"
            )
        self.scales, self.flip, self.base = tuple(scales), flip, base

    def scores(
        self,
        network: Segmenter,
        images: Sequence[Tensor],
        sizes: Sequence[Size],
        *,
        watch: Watcher | None = None,
    ) -> list[Tensor]:
        totals: list[Tensor] | None = None
        for scale in self.scales:
            copies = [_resized(i[None], _scaled(_size(i), scale))[0] for i in images]
            for mirrored in (False, True) if self.flip else (False,):
                seen = [copy.flip(-1) for copy in copies] if mirrored else copies
                told = watch if scale == 1 and not mirrored else None
                found = self.base.scores(network, seen, sizes, watch=told)
                found = [scores.flip(-1) for scores in found] if mirrored else found
                totals = (
                    found if totals is None else [t + f for t, f in zip(totals, found, strict=True)]
                )
        copies = len(self.scales) * (1 + self.flip)
        return [total / copies for total in totals or []]


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
        alike[_size(image), size].append(index)
    for (seen, _), indices in alike.items():
        padded = _rounded_up(seen, network.size_divisor)
        for start in range(0, len(indices), batch):
            members = indices[start : start + batch]
            stack = torch.stack([images[i] for i in members])
            prediction = network.predict(_padded(stack, padded, network.pad_value))
            if watch is not None:
                watch(prediction, members)
            yield members, prediction, padded


def _padded(images: Tensor, size: Size, value: Sequence[float]) -> Tensor:
    """The pictures, with `value` added below and to the right.

    Channels after the first three, such as the labels that an oracle sees, are filled with IGNORE.

    Shapes: images (..., C, h, w) -> (..., C, *size)
    """
    height, width = _size(images)
    if (height, width) == size:
        return images
    channels = [*value, *[IGNORE] * (images.shape[-3] - len(value))]
    filling = torch.tensor(channels, dtype=torch.float32, device=images.device)[:, None, None]
    canvas = filling.expand(*images.shape[:-2], *size).clone()
    canvas[..., :height, :width] = images
    return canvas


def _resized(maps: Tensor, size: Size) -> Tensor:
    """Bilinear, (B, C, *size); the input itself where the size is the same already."""
    if _size(maps) == size:
        return maps
    maps = maps if maps.is_floating_point() else maps.float()
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _argmax(scores: Tensor, size: Size) -> Tensor:
    """(H, W) class ids of (K, h, w) scores."""
    if _size(scores) == size:
        return scores.argmax(dim=0)
    return upsampled_argmax(scores[None], size)[0]


def _grown(size: Size, seen: Size, padded: Size) -> Size:
    """The size of a map whose top left part of `size` belongs to the picture, the rest to padding.

    Exact where the picture is seen at its own size; otherwise rounded to whole pixels, which moves
    boundaries by less than half a pixel.
    """
    return tuple(round(n * p / s) for n, s, p in zip(size, seen, padded, strict=True))


def _rounded_up(size: Size, divisor: int) -> Size:
    return tuple(-(-side // divisor) * divisor for side in size)


def _at_least(size: Size, least: Size) -> Size:
    return tuple(max(side, low) for side, low in zip(size, least, strict=True))


def _scaled(size: Size, factor: float) -> Size:
    return tuple(max(round(side * factor), 1) for side in size)


def _size(image: Tensor) -> Size:
    return tuple(image.shape[-2:])


def _pair(sides: Sequence[int]) -> Size:
    height, width = sides
    return height, width
