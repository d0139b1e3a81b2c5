"""Weights that can still compute: no value among them is infinite, undefined or beyond squaring."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from segsuite.core.errors import CheckpointError

LARGEST = torch.finfo(torch.float32).max ** 0.5
"""A weight above it has no finite square: what it is multiplied with will be no number either."""


def not_finite(state: Mapping[str, Any]) -> list[str]:
    """The names of tensors that hold such values; waits for the device once if there are none."""
    floats = {
        name: tensor.detach()
        for name, tensor in state.items()
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel()
    }
    if not floats or float(get_total_norm(floats.values(), float("inf"))) <= LARGEST:
        return []
    # Not `>`: what is not a number is not larger, either.
    return [name for name, one in floats.items() if not float(one.abs().amax()) <= LARGEST]


def check_finite(
    state: Mapping[str, Tensor], *, source: str, apart_from: Collection[str] = ()
) -> None:
    """Raises CheckpointError, naming the first tensor, for weights that no network works with.

    Args:
        apart_from: names of the tensors that may hold such values, such as masks of minus infinity.
    """
    refuse_odd(not_finite(state), len(state), source=source, apart_from=apart_from)


def refuse_odd(
    odd: Collection[str], count: int, *, source: str, apart_from: Collection[str] = ()
) -> None:
    """The same of tensors that are known to be not finite, by their names, among `count`."""
    bad = [name for name in odd if name not in apart_from]
    if bad:
        raise CheckpointError(
            f"{source} holds weights that are not finite: {bad[0]} is the first of {len(bad)} such "
            f"tensors among {count}; the training that wrote it had diverged. Give an earlier "
            "checkpoint"
        )
