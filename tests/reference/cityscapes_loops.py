"""Cityscapes' scores pixel by pixel, from the definition, over frames of label ids."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def scores_by_loops(
    frames: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    categories: Mapping[str, Sequence[int]],
    sizes: Mapping[int, float],
) -> dict[str, dict]:
    """`iou`, `iiou` by class id, `category_iou`, `category_iiou` by name; nan where undefined.

    Args:
        frames: predicted, label and instance ids (H, W) of each.
        categories: the evaluated ids of each.
        sizes: pixels of an average instance, by id.
    """
    category = {i: name for name, members in categories.items() for i in members}
    right, missed, wrong = Counter(), Counter(), Counter()
    found, lost = Counter(), Counter()
    for predicted, label, instance in frames:
        for p, t in zip(predicted.ravel().tolist(), label.ravel().tolist(), strict=True):
            if t not in category:
                continue
            for a, b in ((p, t), (category.get(p), category[t])):
                right[b] += a == b
                missed[b] += a != b
                if a != b:
                    wrong[a] += 1
        for value in np.unique(instance[instance >= 1000]).tolist():
            own = value // 1000
            if own not in sizes:
                continue
            inside = predicted[instance == value].tolist()
            weight = sizes[own] / len(inside)
            for p in inside:
                for a, b in ((p, own), (category.get(p), category[own])):
                    (found if a == b else lost)[b] += weight
    grouped = {name: all(i in sizes for i in members) for name, members in categories.items()}
    return {
        "iou": {i: _share(right[i], missed[i] + wrong[i]) for i in category},
        "iiou": {i: _share(found[i], lost[i] + wrong[i]) for i in category if i in sizes},
        "category_iou": {n: _share(right[n], missed[n] + wrong[n]) for n in categories},
        "category_iiou": {
            n: _share(found[n], lost[n] + wrong[n]) for n, things in grouped.items() if things
        },
    }


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest else float("nan")
