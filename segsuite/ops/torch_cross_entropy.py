"""torch's own chunked cross-entropy of a linear layer, where the installed torch has it."""

import inspect

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.ops.class_weighting import counted
from segsuite.ops.precision import full
from segsuite.ops.streaming_cross_entropy import check, check_labels


class NotInThisTorch(ConfigError):
    """The installed torch has no chunked cross-entropy."""


def torch_has_it() -> bool:
    """Whether F.linear_cross_entropy is there and takes `options`, by which it works in chunks."""
    function = getattr(F, "linear_cross_entropy", None)
    known = function is not None and "options" in inspect.signature(function).parameters
    return known and hasattr(torch.nn, "LinearCrossEntropyOptions")


def check_torch_has_it() -> None:
    """Raises NotInThisTorch unless the installed torch has the chunked op."""
    if not torch_has_it():
        raise NotInThisTorch(
            f"torch {torch.__version__} has no F.linear_cross_entropy(options=), as torch 2.14 "
            "has; type method/loss=exact, which needs no other torch, or install a newer one"
        )


def torch_cross_entropy(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    metric: str = "dot",
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `streaming_cross_entropy`, by torch's op; -s |x - e|^2 is 2 s x.e - s |e|^2 to a softmax.

    Shapes: features (N, d), table (C, d), labels (N,) int64 with IGNORE, bias and weights (C,)

    Raises:
        NotInThisTorch: torch has no such op.
        ConfigError: a metric that is not affine in the features.
        IndexError, TypeError: labels that no class has, as `check_labels` says.
    """
    check_torch_has_it()
    check(table, bias=bias, metric=metric, weights=weights)
    if metric == "l2":
        raise ConfigError("metric=l2 is no linear layer; type method/loss=exact")
    check_labels(labels, len(table))
    x, e = full(features), full(table)
    slope = 2 * scale if metric == "sq" else scale
    offset = -scale * e.square().sum(1) if metric == "sq" else bias
    total = F.linear_cross_entropy(
        x,
        e if slope == 1 else slope * e,
        labels,
        linear_bias=None if offset is None else full(offset),
        weight=None if weights is None else weights.to(e.dtype),
        reduction="sum",
        ignore_index=IGNORE,
        options=torch.nn.LinearCrossEntropyOptions(),
    )
    return total, counted(labels, weights)
