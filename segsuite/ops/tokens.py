"""Picking tokens out of a sequence and putting them back: gathers and scatters, static in shape."""

import torch
from torch import Tensor


def gather_tokens(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens at `index`, per image.

    Shapes: tokens (B, n, C), index (B, m) int64 -> (B, m, C)
    """
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def scatter_tokens(canvas: Tensor, index: Tensor, tokens: Tensor) -> Tensor:
    """A copy of `canvas` in which the rows at `index` are `tokens`.

    Shapes: canvas (B, n, C), index (B, m) int64 without repeats, tokens (B, m, C) -> (B, n, C)
    """
    return canvas.scatter(1, index.unsqueeze(-1).expand_as(tokens), tokens.to(canvas.dtype))


def untied_keys(score: Tensor) -> Tensor:
    """int64 keys in the order of the scores, without ties: of two equal ones the earlier is larger.

    Whatever sorts them, stable or not, on whatever device or runtime, gives one order. Scores that
    are equal to 2^-30 count as equal; that of NaN is undefined.

    Shapes: score (B, n) float32 within -4..4 -> (B, n)
    """
    count = score.shape[1]
    place = torch.arange(count - 1, -1, -1, device=score.device)
    return (score * 2.0**30).long() * count + place


def first_of_class(confidence: Tensor, label: Tensor, count: int) -> Tensor:
    """(B, n) bool: whether a token is among the `count` most confident of its class.

    Ties go to the earlier token. With the tokens sorted by class, and within a class by confidence,
    a token is not among the first exactly when the one `count` places before it is of its class:
    one sort, no loop over classes, no data-dependent shape. Keys do not tie, so that the sort need
    not be stable: ONNX has TopK alone.

    Shapes: confidence (B, n) within -1..1, label (B, n) int64
    """
    keys = untied_keys(confidence) + label * (confidence.shape[1] << 32)
    order = keys.sort(dim=1, descending=True).indices
    classes = label.gather(1, order)
    best = torch.ones_like(classes[:, :count], dtype=torch.bool)
    first = torch.cat([best, classes[:, count:] != classes[:, :-count]], dim=1)
    return torch.empty_like(first).scatter(1, order, first)
