"""What each tensor operation costs, by the shapes of its arguments and of its result."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segsuite.measure.cost import Cost

Formula = Callable[[Sequence[Any], Any], Cost]
"""(arguments by position, result) -> cost."""


def _matrix_product(left: int) -> Formula:
    """Of the operands at `left` and `left + 1`: (.., n, k) x (.., k, m), vectors included."""
    return lambda args, result: Cost(macs=result.numel() * args[left].shape[-1])


def _sum_of_products(args: Sequence[Any], result: Any) -> Cost:
    return Cost(macs=result.numel() * args[1].shape[0] * args[1].shape[-1])


def _convolution(args: Sequence[Any], result: Any) -> Cost:
    images, weight, transposed = args[0], args[1], args[6]
    visited = images if transposed else result
    return Cost(macs=weight.numel() * visited.shape[0] * math.prod(visited.shape[2:]))


def _attention(args: Sequence[Any], result: Any) -> Cost:
    query, key, value = args[:3]
    pairs = math.prod(query.shape[:-1]) * key.shape[-2]
    return Cost(macs=pairs * (query.shape[-1] + value.shape[-1]))


def _norm(weight: int) -> Formula:
    """5 operations an element with a weight and a bias, 4 without."""
    return lambda args, result: Cost(norm=args[0].numel() * (4 if args[weight] is None else 5))


def _batch_norm(args: Sequence[Any], result: Any) -> Cost:
    """At rest it is one scale and one shift; in training a norm like the others."""
    training = args[5] is True
    without, with_weight = (4, 5) if training else (1, 2)
    return Cost(norm=args[0].numel() * (without if args[1] is None else with_weight))


def _resize(per_element: int) -> Formula:
    return lambda args, result: Cost(resize=per_element * result.numel())


def _each(names: str, formula: Formula) -> dict[str, Formula]:
    return dict.fromkeys(names.split(), formula)


FORMULAS: Mapping[str, Formula] = {
    **_each("mm bmm mv dot linear _int_mm _scaled_mm", _matrix_product(0)),
    **_each("addmm baddbmm addmv _addmm_activation", _matrix_product(1)),
    **_each("addbmm", _sum_of_products),
    **_each("convolution", _convolution),
    **_each(
        "scaled_dot_product_attention"
        " _scaled_dot_product_flash_attention"
        " _scaled_dot_product_flash_attention_for_cpu"
        " _scaled_dot_product_efficient_attention"
        " _scaled_dot_product_cudnn_attention"
        " _scaled_dot_product_fused_attention_overrideable"
        " segsuite::attention",
        _attention,
    ),
    **_each("native_layer_norm", _norm(2)),
    **_each("native_group_norm", _norm(1)),
    **_each(
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training"
        " cudnn_batch_norm",
        _batch_norm,
    ),
    **_each("upsample_bilinear2d _upsample_bilinear2d_aa grid_sampler_2d", _resize(4)),
    **_each("upsample_nearest2d", _resize(1)),
}
"""Formulas by operation. Multiply-adds count once; the rest is as fvcore counts. What is not named
here (activations, softmax, additions, copies, gathers) costs nothing in either convention."""
