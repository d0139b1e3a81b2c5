"""Labels at full resolution without a full-resolution score map."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.ops.bilinear import bilinear_neighbours
from segsuite.ops.column_argmax import argmax_by_columns
from segsuite.ops.precision import full

_CANDIDATES = 8
"""Classes that most cells on a boundary can be narrowed down to."""

_CROWDED = 0.4
"""Share of neighbours with another winner from which looking for the open cells never pays."""

_LOOK, _OPEN, _CALL = 20.0, 180.0, 1.2e6
_STRIP, _STRIP_CLASS, _LINE = 12.0, 2.0, 7e4
_MAP_CLASS = 4.7
"""What labels cost on one core, in ns: by cells, a pixel looked at, one in an open cell, and the
rest of a call; by columns, a pixel, a class of it and a line of the grid; by classes, a class of a
pixel. Fitted to 2 to 150 classes on grids of 14 to 128 lines, 4 to 16 times upsampled (AVX-512)."""

_CLASSES = 16
"""Classes upsampled at once where the shortcuts do not serve."""

_AT_ONCE = 2**20
"""Scores at full resolution held at once: 4 MB, which stays in a CPU's cache."""


def upsampled_argmax(
    scores: Tensor, size: Size, *, align_corners: bool = False, static: bool | None = None
) -> Tensor:
    """(B, H, W) int64: the argmax of `scores` after bilinear upsampling.

    Exact either way, up to scores that tie within rounding; exact ties go to the lowest class.

    Args:
        align_corners: whether the corner points of both grids coincide, as in F.interpolate.
        static: True for fixed shapes and no look at the values, for GPUs and export; False for the
            shortcut that a CPU gains from, unless scores are too uneven for it, as with random
            weights. None: fixed shapes but on a CPU outside a compiler.

    Shapes: scores (B, K, h, w) -> (B, *size)
    """
    if tuple(scores.shape[-2:]) == tuple(size):
        return scores.max(dim=1).indices
    if static is None:
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        static = traced or scores.device.type != "cpu"
    way = argmax_by_classes if static else _quickest(scores, size)
    return way(scores, size, align_corners=align_corners)


def _quickest(scores: Tensor, size: Size) -> Callable[..., Tensor]:
    """The way that costs a CPU least, by how often winners change on every fourth grid line."""
    (classes, lines), pixels = scores.shape[1:3], size[0] * size[1]
    by_columns = _STRIP + _STRIP_CLASS * classes + _LINE * lines / pixels
    by_classes = _MAP_CLASS * classes
    way = argmax_by_classes if by_classes < by_columns else argmax_by_columns
    winners = scores[:, :, ::4].max(dim=1).indices
    changes = winners[..., 1:] != winners[..., :-1]
    limit = min(_CROWDED, (min(by_classes, by_columns) - _LOOK - _CALL / pixels) / _OPEN)
    return way if changes.sum() > limit * changes.numel() else argmax_by_cells


def argmax_by_classes(scores: Tensor, size: Size, *, align_corners: bool = False) -> Tensor:
    """`upsampled_argmax` as a running maximum over chunks of classes: fixed shapes throughout."""
    how: dict[str, Any] = {"size": size, "mode": "bilinear", "align_corners": align_corners}
    return argmax_in_chunks(scores, lambda part: F.interpolate(full(part), **how))


def argmax_in_chunks(scores: Tensor, upsampled: Callable[[Tensor], Tensor]) -> Tensor:
    """(B, H, W) int64: the argmax of what is upsampled, of a few classes at a time.

    Shapes: scores (B, K, h, w)
    """
    best = labels = None
    for start in range(0, scores.shape[1], _CLASSES):
        value, index = upsampled(scores[:, start : start + _CLASSES]).max(dim=1)
        if best is None or labels is None:
            best, labels = value, index
        else:
            better = value > best
            labels = torch.where(better, index + start, labels)
            best = torch.where(better, value, best)
    assert labels is not None  # there is always a class
    return labels


def argmax_by_cells(scores: Tensor, size: Size, *, align_corners: bool = False) -> Tensor:
    """`upsampled_argmax` that looks only at the classes which can win in each cell of the grid.

    A pixel's scores are a weighted mean of those at the four corners of its cell. So a class that
    wins at all four corners wins throughout, and a class that is below some level at all of them
    cannot win if the best class never falls under that level. Few cells are left, with few classes
    in each, and only these are upsampled.
    """
    batch, classes, height, width = scores.shape
    scores = full(scores.detach())
    table = scores.permute(0, 2, 3, 1).contiguous().view(-1, classes)
    corners = _corners(batch, height, width, scores.device)
    winner = table.argmax(dim=1)
    winners = winner[corners]
    pixels = _Pixels(scores, size, align_corners)
    labels = pixels.spread(winner).flatten()
    open_cells = (winners != winners[:, :1]).any(dim=1).nonzero().squeeze(1)
    corners, winners = corners[open_cells], winners[open_cells]
    step = max(_AT_ONCE // (4 * classes), 1)
    parts = zip(corners.split(step), winners.split(step), strict=True)
    chunks = [_candidates(table, near, best) for near, best in parts]
    narrow, candidates = (torch.cat(part) for part in zip(*chunks, strict=True))

    few, narrowed = corners[narrow], candidates[narrow]
    short = table[few.unsqueeze(2), narrowed.unsqueeze(1)].flatten(0, 1)  # the corners one by one
    rows = torch.arange(len(short), device=scores.device).view(-1, 4)
    for place, slot, weights in pixels.within(open_cells[narrow], short.shape[1]):
        values = F.embedding_bag(
            rows.index_select(0, slot), short, per_sample_weights=weights, mode="sum"
        )
        labels[place] = narrowed.view(-1).take(slot * short.shape[1] + values.argmax(dim=1))
    many = corners[~narrow]
    for place, slot, weights in pixels.within(open_cells[~narrow], classes):
        values = F.embedding_bag(
            many.index_select(0, slot), table, per_sample_weights=weights, mode="sum"
        )
        labels[place] = values.argmax(dim=1)
    return labels.view(batch, *size)


class _Pixels:
    """The pixels of an upsampled grid and the cells that they lie in."""

    def __init__(self, scores: Tensor, size: Size, align_corners: bool) -> None:
        batch, _, *self.grid = scores.shape
        kind: dict[str, Any] = {"device": scores.device, "dtype": scores.dtype}
        kind["align_corners"] = align_corners
        self.row, self.down = bilinear_neighbours(self.grid[0], size[0], **kind)
        self.column, self.across = bilinear_neighbours(self.grid[1], size[1], **kind)
        self.cells = batch * self.grid[0] * self.grid[1]

    def spread(self, values: Tensor) -> Tensor:
        """(B, H, W): each cell's value at all its pixels.

        Shapes: values (B * h * w,)
        """
        values = values.view(-1, *self.grid)
        return values.index_select(2, self.column).index_select(1, self.row)

    def within(self, cells: Tensor, channels: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Parts of the pixels in `cells` (n,): which flat (p,), whose (p,) of n, weights (p, 4)."""
        slot_of = cells.new_full((self.cells,), -1)
        slot_of[cells] = torch.arange(len(cells), device=cells.device)
        slots = self.spread(slot_of).flatten()
        height, width = len(self.row), len(self.column)
        for place in (slots >= 0).nonzero().squeeze(1).split(max(_AT_ONCE // channels, 1)):
            line = place.div(width, rounding_mode="floor")
            across = self.across.index_select(0, place - line * width)
            down = self.down.index_select(0, line % height)
            up, back = 1 - down, 1 - across
            weights = torch.stack([up * back, up * across, down * back, down * across], dim=1)
            yield place, slots.index_select(0, place), weights


def _candidates(table: Tensor, corners: Tensor, winners: Tensor) -> tuple[Tensor, Tensor]:
    """Which cells few classes may win in (n,) bool, and those classes (n, m), ascending.

    The best score within a cell is nowhere below the least corner of any class, nor below the least
    corner of any mean of classes; the mean of the corners' winners is tried.

    Shapes: table (points, K), corners (n, 4) rows of the table, winners (n, 4) classes
    """
    scores = table[corners]
    reach, classes = scores.amax(dim=1).topk(min(_CANDIDATES + 1, table.shape[1]), dim=1)
    level = scores.amin(dim=1).amax(dim=1)
    mixture = scores.gather(2, winners.unsqueeze(1).expand(-1, 4, -1)).mean(dim=2).amin(dim=1)
    if table.shape[1] <= _CANDIDATES:
        narrow = torch.ones_like(level, dtype=torch.bool)
    else:
        narrow = reach[:, _CANDIDATES] < torch.maximum(level, mixture)
    return narrow, classes[:, :_CANDIDATES].sort(dim=1).values


def _corners(batch: int, height: int, width: int, device: torch.device) -> Tensor:
    """(B * h * w, 4) int64: the flat grid points around the cell right of and below each one."""
    index = torch.arange(batch * height * width, device=device).view(batch, height, width)
    below = torch.cat([index[:, 1:], index[:, -1:]], dim=1)
    right, opposite = (torch.cat([x[..., 1:], x[..., -1:]], dim=2) for x in (index, below))
    return torch.stack([index, right, below, opposite], dim=-1).view(-1, 4)
