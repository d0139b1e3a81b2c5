"""The precision that sums, softmaxes and comparisons need, whatever autocast left them in."""

import torch
from torch import Tensor


def full(values: Tensor) -> Tensor:
    """float32 at least: rounded to bfloat16, gradients would be off by a hundredth."""
    return values.to(full_type(values))


def full_type(values: Tensor) -> torch.dtype:
    """float32, or float64 where the values are that already."""
    return torch.promote_types(values.dtype, torch.float32)
