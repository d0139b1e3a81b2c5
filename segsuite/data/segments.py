"""Which segments a pair of maps is made of: raw ids of classes, and ids of instances."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Segments:
    """What the pair of maps of one image holds, whichever of its classes are things.

    Attributes:
        instances: number of instances by the raw id that they lie on.
        loose: raw ids with pixels that belong to no instance.
        mixed: ids of instances that lie on several raw ids.
        pixels: number of pixels of instances.
        repainted: those of them that were of another class before instances were painted over.
    """

    instances: dict[int, int]
    loose: tuple[int, ...]
    mixed: tuple[int, ...]
    pixels: int
    repainted: int = 0


def segments_of(
    raw: NDArray[Any], ids: NDArray[np.int32], *, before: NDArray[Any] | None = None
) -> Segments:
    """The segments of raw ids and instance ids, 0 where there is no instance.

    Args:
        before: the raw ids before instances were painted over them.

    Shapes: raw, ids, before (H, W)
    """
    raw_ids, owners = pairs_of(raw, ids)
    inside = owners > 0
    classes, counts = np.unique(raw_ids[inside], return_counts=True)
    instances, on = np.unique(owners[inside], return_counts=True)
    return Segments(
        instances=dict(zip(classes.tolist(), counts.tolist(), strict=True)),
        loose=tuple(raw_ids[~inside].tolist()),
        mixed=tuple(instances[on > 1].tolist()),
        pixels=int(np.count_nonzero(ids)),
        repainted=0 if before is None else int(np.count_nonzero((raw != before) & (ids > 0))),
    )


def pairs_of(
    raw: NDArray[Any], ids: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs (raw id, instance id) that occur, each once, sorted.

    Shapes: raw, ids (H, W) -> (P,), (P,)
    """
    keys = (raw.astype(np.int64) << 32 | ids).ravel()
    keys = np.unique(keys[run_starts(keys)])  # a fiftieth of the pixels
    return keys >> 32, keys & 0xFFFFFFFF


def run_starts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Where a value follows that is another one than before; 0 is the first.

    Shapes: values (N,) -> (R,)
    """
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([np.zeros(min(len(values), 1), np.int64), changes])
