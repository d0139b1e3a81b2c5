"""Picking tokens out of a sequence and putting them back: gathers and scatters, static in shape."""

import torch
from torch import Tensor


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens at `index`, per picture.

    Shapes: tokens (B, n, C), index (B, m) int64 -> (B, m, C)
    """
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def scatter_tokens(canvas: Tensor, index: Tensor, tokens: Tensor) -> Tensor:
    """A copy of `canvas` in which the rows at `index` are `tokens`.

    Shapes: canvas (B, n, C), index (B, m) int64 without repeats, tokens (B, m, C) -> (B, n, C)
    """
    return canvas.scatter(1, index.unsqueeze(-1).expand_as(tokens), tokens.to(canvas.dtype))


def first_of_class(confidence: Tensor, label: Tensor, count: int) -> Tensor:
    """(B, n) bool: whether a token is among the `count` most confident of its class.

    Ties go to the earlier token. With the tokens sorted by class, and within a class by confidence,
    a token is not among the first exactly when the one `count` places before it is of its class:
    two sorts, no loop over classes, no data-dependent shape.

    Shapes: confidence (B, n), label (B, n) int64
    """
    order = confidence.argsort(dim=1, descending=True, stable=True)
    by_class = label.gather(1, order).argsort(dim=1, stable=True)
    order = order.gather(1, by_class)
    classes = label.gather(1, order)
    first = torch.ones_like(classes, dtype=torch.bool)
    first[:, count:] = classes[:, count:] != classes[:, :-count]
    return torch.empty_like(first).scatter(1, order, first)
