"""Scores by loops over classes, the definition word for word."""

import math

from torch import Tensor


def iou_by_loops(predictions: Tensor, labels: Tensor, num_classes: int) -> dict[str, float]:
    """miou, pacc, macc, fwiou and baseline_miou of class ids; labels below zero do not count."""
    counted = labels >= 0
    predictions, labels = predictions[counted], labels[counted]
    ious, accuracies, weighted, shares = [], [], 0.0, []
    for c in range(num_classes):
        both = int(((predictions == c) & (labels == c)).sum())
        union = int(((predictions == c) | (labels == c)).sum())
        pixels = int((labels == c).sum())
        if union:
            ious.append(both / union)
        if pixels:
            accuracies.append(both / pixels)
            shares.append(pixels / len(labels))
            weighted += pixels / len(labels) * both / union
    return {
        "miou": sum(ious) / len(ious) if ious else math.nan,
        "pacc": float((predictions == labels).double().mean()),
        "macc": sum(accuracies) / len(accuracies) if accuracies else math.nan,
        "fwiou": weighted,
        "baseline_miou": max(shares) / len(shares) if shares else math.nan,
    }
