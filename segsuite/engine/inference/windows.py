"""Overlapping windows averaged block by block, in memory that does not grow with the image's area.

The image is gone through in strips as wide as one window is from the next, from the top to the
bottom. What is left of a strip's block when a window is done touches no later window: it is
divided and given away. A window that reaches into later strips is kept as the network's
prediction, which is small since it is at native stride; its evidence is then made once more.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.engine.inference.framing import size_of
from segsuite.nn.segmenter import Prediction, Segmenter

_HELD = 2**24
"""Numbers of a strip's overlap that are held at full resolution, 64 MB: then nothing is made twice,
and images as large as a few windows cost no more time than one sum over all of them."""


@dataclass(frozen=True)
class Block:
    """Averages that no later window changes.

    Attributes:
        image: index of the image.
        top, left: where in the image the block begins.
        values: the average (E, h, w), or what was made of it, (..., h, w).
    """

    image: int
    top: int
    left: int
    values: Tensor


def averaged(
    network: Segmenter, images: Sequence[Tensor], *, window: Size, stride: Size, batch: int
) -> Iterator[Block]:
    """The mean evidence of all windows that see a pixel, in blocks that together fill the images.

    Windows begin every `stride` pixels, the last ones end flush with the border. `batch` of them,
    of whichever images, go through the network together. What is summed is summed in the order of
    rows of windows, whatever the blocks: so the sums are those of one piece, bit for bit.

    Shapes: images (3, h, w) each, nowhere smaller than the window
    """
    # Rows and columns of each.
    cuts = [tuple(map(_starts, size_of(image), window, stride)) for image in images]
    places = [(i, y, x) for i, (rows, columns) in enumerate(cuts) for x in columns for y in rows]
    predictions = _predictions(network, images, places, window, batch)
    for index, (rows, columns) in enumerate(cuts):
        device = images[index].device
        yield from _of_one(network, index, rows, columns, window, predictions, device)


def assembled(blocks: Iterable[Block], size: Size, *, dtype: torch.dtype | None = None) -> Tensor:
    """(..., *size): the blocks of one image, without what lies beyond it."""
    whole: Tensor | None = None
    for block in blocks:
        values, (height, width) = block.values, size_of(block.values)
        if whole is None:
            whole = values.new_empty(*values.shape[:-2], *size, dtype=dtype or values.dtype)
        place = whole[..., block.top : block.top + height, block.left : block.left + width]
        place.copy_(values[..., : place.shape[-2], : place.shape[-1]])
    assert whole is not None, "an image has one block at least"
    return whole


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side."""
    return [min(first, side - window) for first in range(0, side - window + stride, stride)]


def _predictions(
    network: Segmenter,
    images: Sequence[Tensor],
    places: Sequence[tuple[int, int, int]],
    window: Size,
    batch: int,
) -> Iterator[Prediction]:
    """Of each window, a batch of one."""
    height, width = window
    for start in range(0, len(places), batch):
        chunk = places[start : start + batch]
        windows = [images[i][:, y : y + height, x : x + width] for i, y, x in chunk]
        prediction = network.predict(torch.stack(windows))
        yield from (prediction.of(number) for number in range(len(chunk)))


def _of_one(
    network: Segmenter,
    index: int,
    rows: list[int],
    columns: list[int],
    window: Size,
    predictions: Iterator[Prediction],
    device: torch.device,
) -> Iterator[Block]:
    """The blocks of one image, strip after strip."""
    (height, width), earlier = window, _Overlaps(network, window, rows=len(rows))
    down, across = _covered(rows, height, device), _covered(columns, width, device)
    for left, right in zip(columns, [*columns[1:], columns[-1] + width], strict=True):
        sums: Tensor | None = None
        earlier.begin(left, right)
        for top, bottom in zip(rows, [*rows[1:], rows[-1] + height], strict=True):
            prediction = next(predictions)
            for part in earlier.parts(prediction):
                if sums is None:
                    sums = part.new_zeros(part.shape[0], height, right - left)
                sums[..., : part.shape[-1]] += part
                del part  # before the next one is made
            done = bottom - top
            counts = torch.outer(down[top:bottom], across[left:right]).to(sums.dtype)
            yield Block(index, top, left, sums[:, :done].div_(counts))
            below = torch.zeros_like(sums)
            below[:, : height - done] = sums[:, done:]
            sums = below


def _covered(starts: list[int], window: int, device: torch.device) -> Tensor:
    """(side,): how many windows there are over each pixel of a side."""
    counts = torch.zeros(starts[-1] + window)
    for start in starts:
        counts[start : start + window] += 1
    return counts.to(device)  # once: for each block, the host would wait for the device


class _Overlaps:
    """What windows of one strip, and those of earlier ones that reach into it, say about it."""

    def __init__(self, network: Segmenter, window: Size, *, rows: int) -> None:
        self._network, self._window, self._rows = network, window, rows
        self._kept: list[tuple[int, deque[Callable[[int], Tensor]]]] = []

    def begin(self, left: int, right: int) -> None:
        """From here on, parts are those of the columns from `left` to `right`."""
        self._left, self._right = left, right
        width = self._window[1]
        self._kept = [(begun, column) for begun, column in self._kept if begun + width > left]
        self._kept.append((left, deque()))

    def parts(self, prediction: Prediction) -> Iterator[Tensor]:
        """Evidence of the next row's windows within the strip, from the leftmost window on.

        Shapes: (E, h, w) each, w being up to the width of the strip, whose left border all touch
        """
        *earlier, (_, fresh) = self._kept
        for begun, column in earlier:
            again = column.popleft()
            yield again(self._left - begun)[..., : self._right - self._left]
            if begun + self._window[1] > self._right:
                column.append(again)
        evidence = self._evidence(prediction)
        if self._left + self._window[1] > self._right:
            fresh.append(self._again(prediction, evidence))
        yield evidence[..., : self._right - self._left]

    def _evidence(self, prediction: Prediction) -> Tensor:
        return self._network.evidence(prediction, self._window)[0]

    def _again(self, prediction: Prediction, evidence: Tensor) -> Callable[[int], Tensor]:
        """Gives a window's evidence from some column on, once this strip is done."""
        done = self._right - self._left
        overlap = evidence[..., done:]
        if overlap.numel() * self._rows > _HELD:
            return lambda first: self._evidence(prediction)[..., first:]
        held = overlap.clone()  # a view would keep all of it
        return lambda first: held[..., first - done :]
