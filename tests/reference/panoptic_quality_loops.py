"""Panoptic quality pixel by pixel and segment by segment, from the official evaluator's rules."""

from collections import Counter
from collections.abc import Collection, Iterable

import numpy as np

Maps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of one image: predicted classes and instances, labels and instances, (H, W) each."""

VOID = (-1, 0)


def panoptic_by_loops(
    images: Iterable[Maps], things: Collection[int]
) -> dict[int, dict[str, float]]:
    """`iou`, `tp`, `fp`, `fn`, `pq`, `sq`, `rq` of each class that is there or predicted."""
    tp, fp, fn, iou = Counter(), Counter(), Counter(), Counter()
    for image in images:
        shared = Counter()
        for p, i, t, j in zip(*(values.ravel().tolist() for values in image), strict=True):
            shared[_predicted(p, i, things), _labelled(t, j, things)] += 1
        predicted, labelled = Counter(), Counter()
        for (one, other), pixels in shared.items():
            predicted[one] += pixels
            labelled[other] += pixels
        crowds = {other for other in labelled if other[0] in things and other[1] == 0}
        matched = set()
        for one in predicted.keys() - {VOID}:
            for other in labelled.keys() - {VOID} - crowds:
                union = predicted[one] + labelled[other] - shared[one, other] - shared[one, VOID]
                if one[0] == other[0] and shared[one, other] / union > 0.5:
                    tp[one[0]] += 1
                    iou[one[0]] += shared[one, other] / union
                    matched |= {("predicted", one), ("labelled", other)}
        for other in labelled.keys() - {VOID} - crowds:
            fn[other[0]] += ("labelled", other) not in matched
        for one in predicted.keys() - {VOID}:
            nobodys = shared[one, VOID] + sum(shared[one, c] for c in crowds if c[0] == one[0])
            if ("predicted", one) not in matched and nobodys / predicted[one] <= 0.5:
                fp[one[0]] += 1
    scores = {}
    for c in {*tp, *fp, *fn}:
        weight = tp[c] + fp[c] / 2 + fn[c] / 2
        if not weight:
            continue
        scores[c] = {"iou": iou[c], "tp": tp[c], "fp": fp[c], "fn": fn[c]}
        scores[c] |= {"pq": iou[c] / weight, "rq": tp[c] / weight}
        scores[c]["sq"] = iou[c] / tp[c] if tp[c] else 0.0
    return scores


def means(
    scores: dict[int, dict[str, float]], things: Collection[int], classes: int
) -> dict[str, float]:
    """As PanopticScores.summary() names them."""
    members = {
        "": range(classes),
        "_things": things,
        "_stuff": set(range(classes)) - set(things),
    }
    return {
        f"{name}{group}": float(np.mean(values)) if values else float("nan")
        for group, its in members.items()
        for name in ("pq", "sq", "rq")
        for values in [[scores[c][name] for c in its if c in scores]]
    }


def _predicted(label: int, instance: int, things: Collection[int]) -> tuple[int, int]:
    if label < 0 or (label in things and not instance):
        return VOID
    return label, instance if label in things else 0


def _labelled(label: int, instance: int, things: Collection[int]) -> tuple[int, int]:
    return VOID if label < 0 else (label, instance if label in things else 0)
