"""Exact cross-entropy at full resolution of features at a lower one, which are upsampled in parts.

Neither the logits nor the features ever exist at full resolution: memory is that of the coarse
map's gradient. Bilinear upsampling is linear, so that features or affine logits may be upsampled.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segsuite.core.labels import IGNORE
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.class_weighting import counted
from segsuite.ops.precision import full
from segsuite.ops.streaming_cross_entropy import (
    check,
    check_labels,
    class_chunks,
    fake_outputs,
    keep_gradients,
    results,
    scaled_gradients,
    settled,
)
from segsuite.ops.streaming_softmax import ClassChunks
from segsuite.ops.streaming_tiles import add_tiles

if TYPE_CHECKING:
    from segsuite.ops.streaming_triton import TritonChunks

_STRIP = 2**16
"""Upsampled features held at once: 256 kB in float32, of which there are a few copies."""

_WHOLE_STRIP = 2**18
"""The same on a GPU, 1 MB: fewer and larger steps."""

_WIDE = 32
"""Channels from which it is cheaper to upsample logits than features (measured on a CPU)."""


def upsampled_cross_entropy(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    metric: str = "dot",
    normalize_after: bool = False,
    budget: int | None = None,
    kernel: str = "auto",
    weights: Tensor | None = None,
    cutoff: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`streaming_cross_entropy` of features that are first upsampled to the size of the labels.

    Bilinear, align_corners=False. Gradients arrive at the coarse map.

    Args:
        normalize_after: whether upsampled features are brought to unit length.

    Shapes: features (B, d, h, w), table (C, d), labels (B, H, W) int64 with IGNORE, bias and
        weights (C,)
    """
    check(table, bias=bias, metric=metric, weights=weights)
    x, e, b = full(features), full(table), None if bias is None else full(bias)
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, e, b))
    how, budget, cutoff = settled(x, e, metric, kernel, budget, cutoff)
    with torch.autocast(features.device.type, enabled=False):
        total, *_ = _upsampled(
            x, e, labels, b, scale, metric, normalize_after, budget, how, cutoff, wanted, weights
        )
    return total, counted(labels, weights)


@torch.no_grad()
def upsampled_losses(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    metric: str = "dot",
    normalize_after: bool = False,
    budget: int | None = None,
    kernel: str = "auto",
    cutoff: float | None = None,
) -> Tensor:
    """(B, H, W): what each pixel adds to `upsampled_cross_entropy`, 0 where it has no label.

    For choosing pixels: without gradients, which cost twice as much as the losses.
    """
    check(table, bias=bias, metric=metric, weights=None)
    x, e, b = full(features), full(table), None if bias is None else full(bias)
    how, budget, cutoff = settled(x, e, metric, kernel, budget, cutoff)
    with torch.autocast(features.device.type, enabled=False):
        return _each_pixel(x, e, labels, b, scale, metric, normalize_after, budget, how, cutoff)


@torch.library.custom_op("segsuite::upsampled_cross_entropy", mutates_args=())
def _upsampled(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    bias: Tensor | None,
    scale: float,
    metric: str,
    normalize_after: bool,
    budget: int,
    kernel: str,
    cutoff: float,
    gradients: bool,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by features, table and bias; these empty where not wanted."""
    check_labels(labels, table.shape[0])
    chunks = class_chunks(table, bias, scale, metric, budget, kernel, cutoff, gradients, weights)
    gradient = (
        torch.zeros_like(features, memory_format=torch.contiguous_format) if gradients else None
    )
    for index in range(features.shape[0]):
        into = None if gradient is None else gradient[index]
        _add_image(chunks, features[index], labels[index], into, normalize_after, None)
    return results(chunks, gradient, bias)


@torch.library.custom_op("segsuite::upsampled_losses", mutates_args=())
def _each_pixel(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    bias: Tensor | None,
    scale: float,
    metric: str,
    normalize_after: bool,
    budget: int,
    kernel: str,
    cutoff: float,
) -> Tensor:
    """The loss of each pixel, 0 where it has no label."""
    check_labels(labels, table.shape[0])
    chunks = class_chunks(table, bias, scale, metric, budget, kernel, cutoff, gradients=False)
    losses = torch.zeros_like(labels, dtype=table.dtype, memory_format=torch.contiguous_format)
    for x, y, each in zip(features, labels, losses, strict=True):
        _add_image(chunks, x, y, None, normalize_after, each)
    return losses


@_each_pixel.register_fake
def _(features, table, labels, bias, scale, metric, normalize_after, budget, kernel, cutoff):
    return torch.empty_like(labels, dtype=table.dtype, memory_format=torch.contiguous_format)


def _add_image(
    chunks: "ClassChunks | TritonChunks",
    features: Tensor,
    labels: Tensor,
    into: Tensor | None,
    normalize: bool,
    each: Tensor | None,
) -> None:
    """Adds one image to the sums, its gradient to `into` and its pixels' losses to `each`.

    Shapes: features and into (d, h, w), labels and each (H, W)
    """
    if not isinstance(chunks, ClassChunks):
        _add_whole_strips(chunks, features, labels, into, normalize, each)
    elif chunks.metric != "l2" and not normalize and chunks.table.shape[1] >= _WIDE:
        add_tiles(chunks, features, labels, into, each)
    else:
        _add_strips(chunks, features, labels, into, normalize, each)


def _add_strips(
    chunks: ClassChunks,
    features: Tensor,
    labels: Tensor,
    into: Tensor | None,
    normalize: bool,
    each: Tensor | None,
) -> None:
    """As `_add_image`, a few rows of pixels at a time."""
    dim, height, width = features.shape
    alike = features.shape[1:] == labels.shape
    kind: dict[str, Any] = {"device": features.device, "dtype": features.dtype}
    down = bilinear_matrix(height, labels.shape[0], **kind)
    across = bilinear_matrix(width, labels.shape[1], **kind)
    step = max(_STRIP // (dim * labels.shape[1]), 1)
    for start in range(0, labels.shape[0], step):
        rows = down[start : start + step]
        # Only a few coarse rows are seen by these rows of pixels.
        near = rows.any(0).nonzero().squeeze(1)
        first, last = int(near[0]), int(near[-1]) + 1
        rows = rows[:, first:last]
        y = labels[start : start + step].reshape(-1)
        seen = (y != IGNORE).nonzero().squeeze(1)
        coarse = features[:, first:last]
        fine = coarse if alike else rows @ coarse @ across.T
        x = fine.flatten(1).T if len(seen) == len(y) else fine.flatten(1).index_select(1, seen).T
        x = x.contiguous()
        length = x.norm(dim=1, keepdim=True).clamp_(min=1e-12) if normalize else None
        x = x if length is None else x / length
        losses = None if each is None else x.new_empty(len(seen))
        gradient = chunks.add(x, y.index_select(0, seen), losses)
        if each is not None and losses is not None:
            each[start : start + step].view(-1).index_copy_(0, seen, losses)
        if into is None or gradient is None:
            continue
        if length is not None:
            gradient = (gradient - x * (gradient * x).sum(1, keepdim=True)) / length
        if len(seen) == len(y):
            fine = gradient.T.contiguous()
        else:
            fine = gradient.new_zeros(dim, len(y)).index_copy_(1, seen, gradient.T)
        fine = fine.view(dim, -1, labels.shape[1])
        into[:, first:last] += fine if alike else rows.T @ (fine @ across)


def _add_whole_strips(
    chunks: "TritonChunks",
    features: Tensor,
    labels: Tensor,
    into: Tensor | None,
    normalize: bool,
    each: Tensor | None,
) -> None:
    """As `_add_strips`, without asking the host which pixels are labelled: it would wait."""
    dim, height, width = features.shape
    kind: dict[str, Any] = {"device": features.device, "dtype": features.dtype}
    down = bilinear_matrix(height, labels.shape[0], **kind)
    across = bilinear_matrix(width, labels.shape[1], **kind)
    wide = features @ across.T
    step = max(_WHOLE_STRIP // (dim * labels.shape[1]), 1)
    parts = [None] * -(-len(labels) // step) if each is None else each.split(step)
    for rows, y, part in zip(down.split(step), labels.split(step), parts, strict=True):
        x = torch.einsum("rh,dhw->rwd", rows, wide).flatten(0, 1)
        length = x.norm(dim=1, keepdim=True).clamp_(min=1e-12) if normalize else None
        x = x if length is None else x / length
        gradient = chunks.add(x, y.reshape(-1), None if part is None else part.view(-1))
        if into is None or gradient is None:
            continue
        if length is not None:
            gradient = (gradient - x * (gradient * x).sum(1, keepdim=True)) / length
        fine = gradient.view(len(rows), -1, dim)
        into += torch.einsum("rh,rwd->dhw", rows, fine) @ across


@_upsampled.register_fake
def _(
    features, table, labels, bias, scale, metric, after, budget, kernel, cutoff, gradients, weights
):
    return fake_outputs(features, table, bias, gradients)


def _backward(ctx, gradient, *_):
    features, table, bias = scaled_gradients(ctx, gradient)
    return features, table, None, bias, *[None] * 8


_upsampled.register_autograd(_backward, setup_context=keep_gradients)


def sampled(labels: Tensor, count: int) -> Tensor:
    """Labels of `count` pixels drawn at random from those labelled, the others ignored.

    The mean loss over these is an unbiased estimate of that over all. Fewer pixels are all kept.

    Shapes: labels (B, H, W) -> (B, H, W)
    """
    flat = labels.reshape(-1)
    # The largest random numbers win, the ignored ones have none: fixed shapes, no wait for a GPU.
    draw = torch.rand(flat.shape, device=flat.device).masked_fill_(flat == IGNORE, -1.0)
    keep = draw.topk(min(count, len(flat))).indices
    kept = torch.full_like(flat, IGNORE).index_copy_(0, keep, flat.index_select(0, keep))
    return kept.view_as(labels)
