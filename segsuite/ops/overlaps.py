"""Which values several maps of one image hold in the same place, and in how many pixels.

Segments of two maps are matched by the pixels that they share. To sort the pixels of an image for
that takes many times as long as to look at each of them: most equal their left neighbour in every
map, so that runs of equal pixels are counted, and those by hashing.
"""

import numpy as np
import torch
from torch import Tensor

_AT_ONCE = 2**16
"""Pixels of each map that are looked at together: what begins a run is read again from the cache.
"""

_LOG2_SLOTS = 15
"""Some hundred pairs overlap in an image: few share a slot, and the table stays in the cache."""
_SPREAD = 0x9E3779B97F4A7C15 - 2**64
"""2**64 by the golden ratio, as int64: products differ in their upper bits where numbers differ."""


def overlaps_of(*maps: Tensor) -> tuple[Tensor, Tensor]:
    """The combinations of values that occur, and the number of pixels of each, in a fixed order.

    Exact for whatever integers; waits for the GPU.

    Shapes: M maps of any, but one, number of pixels -> (M, N) int64, (N,) int64
    """
    columns, pixels = _runs(maps)
    if not len(pixels):
        return columns, pixels
    shown, sums = _distinct(_packed(columns), pixels)
    return columns.index_select(1, shown), sums


def sums_of(keys: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct keys in order, the place of each key among them, and the sum of its pixels.

    Shapes: keys, pixels (N,) int64 -> (S,), (N,), (S,) int64
    """
    distinct, place = keys.unique(return_inverse=True)
    return distinct, place, torch.zeros_like(distinct).index_add_(0, place, pixels)


def _runs(maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """The values of runs of pixels that are equal in every map, and the lengths of the runs.

    Shapes: (M, R) int64, (R,) int64
    """
    count = maps[0].numel()
    flat = [values.reshape(-1) for values in maps]
    by_numpy = count > 0 and flat[0].device.type == "cpu"
    starts, columns = _runs_by_numpy(flat) if by_numpy else _runs_by_torch(flat)
    return columns, starts.diff(append=starts.new_tensor([count]))


def _runs_by_torch(flat: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Where runs begin, (R,) int64, and their values, (M, R) int64."""
    changes = torch.stack([values[1:] != values[:-1] for values in flat]).any(0)
    inner = changes.nonzero().squeeze(1) + 1
    starts = torch.cat([inner.new_zeros(min(len(flat[0]), 1)), inner])
    return starts, torch.stack([values[starts].long() for values in flat])


def _runs_by_numpy(flat: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The same of at least one pixel: NumPy compares and finds in half of torch's time on a CPU."""
    arrays = [values.numpy() for values in flat]
    starts = [np.zeros(1, np.int64)]
    columns = [[values[:1]] for values in arrays]
    for low in range(1, len(arrays[0]), _AT_ONCE):
        here = [values[low : low + _AT_ONCE] for values in arrays]
        before = [values[low - 1 : low - 1 + len(here[0])] for values in arrays]
        changed = here[0] != before[0]
        for one, other in zip(here[1:], before[1:], strict=True):
            changed |= one != other
        places = np.flatnonzero(changed)
        starts.append(places + low)
        for column, values in zip(columns, here, strict=True):
            column.append(values[places])
    joined = np.empty((len(arrays) + 1, sum(map(len, starts))), np.int64)
    for row, parts in zip(joined, (starts, *columns), strict=True):
        np.concatenate(parts, out=row)
    return torch.from_numpy(joined[0]), torch.from_numpy(joined[1:])


def _packed(columns: Tensor) -> Tensor:
    """(R,) int64, equal where all columns are.

    Shapes: columns (M, R) int64
    """
    packed, size = torch.zeros_like(columns[0]), 1
    lows, highs = (bound.tolist() for bound in columns.aminmax(dim=1))
    for column, low, high in zip(columns, lows, highs, strict=True):
        span = high - low + 1
        if size * span >= 2**63:  # as places among all that occur both have less than 32 bits
            packed, column = (values.unique(return_inverse=True)[1] for values in (packed, column))
            size = span = len(packed)
        packed.mul_(span).add_(column)
        size *= span
    return packed


def _distinct(keys: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """An index of each distinct key, in order of the keys, and the sum of its pixels.

    Shapes: keys, pixels (R,) int64, pixels above 0 -> (N,), (N,) int64
    """
    slot = (keys * _SPREAD).bitwise_right_shift_(64 - _LOG2_SLOTS).bitwise_and_(2**_LOG2_SLOTS - 1)
    # One of the keys of a slot has it. (Indexing by brackets would take five times as long.)
    numbers = torch.arange(len(keys), device=keys.device)
    holder = keys.new_zeros(2**_LOG2_SLOTS).scatter_(0, slot, numbers)
    kept = keys.index_select(0, holder.index_select(0, slot))
    rest = (keys != kept).nonzero().squeeze(1)  # those that it keeps out, mostly none
    _, place, more = sums_of(keys[rest], pixels[rest])
    sums = torch.zeros_like(holder).scatter_add_(0, slot, pixels)
    sums.index_add_(0, slot[rest], pixels[rest], alpha=-1)
    used = sums.nonzero().squeeze(1)
    shown = torch.cat([holder[used], torch.zeros_like(more).scatter_(0, place, rest)])
    order = keys[shown].argsort()
    return shown[order], torch.cat([sums[used], more])[order]
