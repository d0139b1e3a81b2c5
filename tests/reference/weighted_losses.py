"""Class weights, hard pixels and Dice, one pixel and one class at a time."""

import math

import torch
from torch import Tensor


def weighted_mean(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    probability: float | None = None,
    share: float = 0.0,
) -> Tensor:
    """sum(w_y l) / sum(w_y) over the labelled pixels, or over the hard ones of them.

    Shapes: logits (N, K), labels (N,) with -1 -> scalar
    """
    pixels = [i for i in range(len(labels)) if labels[i] >= 0]
    losses = {i: -logits[i].log_softmax(0)[labels[i]] for i in pixels}
    return mean_of(losses, labels, weights, probability=probability, share=share)


def released_losses(logits: Tensor, labels: Tensor, k: int) -> dict[int, Tensor]:
    """By pixel, the loss of ESSNet's code: its class and the k nearest ones compete.

    Where one of these is its class, the class before that takes the place, 0 its own.

    Shapes: logits (N, K) that are higher the nearer, labels (N,) with -1
    """
    losses = {}
    for i in range(len(labels)):
        if labels[i] < 0:
            continue
        own, near = int(labels[i]), logits[i].topk(k).indices.tolist()
        others = [max(own - 1, 0) if c == own else c for c in near]
        losses[i] = logits[i, [own, *others]].logsumexp(0) - logits[i, own]
    return losses


def mean_of(
    losses: dict[int, Tensor],
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    probability: float | None = None,
    share: float = 0.0,
) -> Tensor:
    """As `weighted_mean`, of the losses of labelled pixels.

    Shapes: labels (N,)
    """
    pixels = list(losses)
    sizes = {i: float(loss.detach()) for i, loss in losses.items()}
    if probability is not None:
        ranked = sorted(pixels, key=lambda i: -sizes[i])
        hard = [i for i in pixels if sizes[i] >= -math.log(probability)]
        pixels = list({*hard, *ranked[: math.ceil(share * len(pixels))]})
    own = {i: 1.0 if weights is None else float(weights[labels[i]]) for i in pixels}
    return sum(own[i] * losses[i] for i in pixels) / sum(own.values())


def dice(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over classes that occur of 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)."""
    total, count = torch.zeros((), dtype=logits.dtype), 0.0
    shares = logits.softmax(1)[labels >= 0]
    labels = labels[labels >= 0]
    for c in range(logits.shape[1]):
        truth = (labels == c).to(logits.dtype)
        if truth.sum() == 0:
            continue
        p, weight = shares[:, c], 1.0 if weights is None else float(weights[c])
        total = total + weight * (1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1))
        count += weight
    return total / count
