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


def rank_within_class(confidence: Tensor, label: Tensor) -> Tensor:
    """How many tokens of the same class are more confident, per token; ties go to the earlier one.

    A comparison of all pairs: no sort, no loop over classes and no data-dependent shape, so that it
    exports and never makes the host wait. n^2 booleans a picture (0.5 MB for 715 tokens).

    Shapes: confidence (B, n), label (B, n) int64 -> (B, n) int64
    """
    same = label.unsqueeze(2) == label.unsqueeze(1)
    mine, other = confidence.unsqueeze(2), confidence.unsqueeze(1)
    position = torch.arange(confidence.shape[1], device=confidence.device)
    earlier = position.unsqueeze(0) < position.unsqueeze(1)
    ahead = (other > mine) | ((other == mine) & earlier)
    return (same & ahead).sum(dim=2)
