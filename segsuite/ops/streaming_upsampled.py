"""Exact cross-entropy at full resolution of features at a lower one, which are upsampled in parts.

Neither the logits nor the features ever exist at full resolution: memory is that of the coarse
map's gradient. Bilinear upsampling is linear, so that features or affine logits may be upsampled.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segsuite.core.contract import IGNORE
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.precision import full
from segsuite.ops.streaming_cross_entropy import (
    budget_for,
    check,
    check_labels,
    chosen,
    class_chunks,
    fake_outputs,
    keep_gradients,
    results,
    scaled_gradients,
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
) -> tuple[Tensor, Tensor]:
    """`streaming_cross_entropy` of features that are first upsampled to the size of the labels.

    Bilinear, align_corners=False. Gradients arrive at the coarse map.

    Args:
        normalize_after: upsampled features are brought to unit length.

    Shapes: features (B, d, h, w), table (C, d), labels (B, H, W) int64 with IGNORE
    """
    check(table, bias=bias, metric=metric)
    tensors = [t if t is None else full(t) for t in (features, table, bias)]
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    x, e, b = tensors
    how, budget = chosen(kernel, x, e, metric), budget_for(x, budget)
    with torch.autocast(features.device.type, enabled=False):
        total, *_ = _upsampled(x, e, labels, b, scale, metric, normalize_after, budget, how, wanted)
    return total, (labels != IGNORE).sum()


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
    gradients: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by features, table and bias; these empty where not wanted."""
    check_labels(labels, table.shape[0])
    chunks = class_chunks(table, bias, scale, metric, budget, kernel, gradients)
    found = torch.zeros_like(features, memory_format=torch.contiguous_format) if gradients else None
    wide = metric != "l2" and not normalize_after and table.shape[1] >= _WIDE
    for index in range(features.shape[0]):
        into = None if found is None else found[index]
        if kernel == "triton":
            _add_whole_strips(chunks, features[index], labels[index], into, normalize_after)
        elif wide:
            add_tiles(chunks, features[index], labels[index], into)
        else:
            _add_strips(chunks, features[index], labels[index], into, normalize_after)
    return results(chunks, found, bias)


def _add_strips(
    chunks: ClassChunks, features: Tensor, labels: Tensor, into: Tensor | None, normalize: bool
) -> None:
    """Adds one picture, a few rows of pixels at a time.

    Shapes: features and into (d, h, w), labels (H, W)
    """
    dim, height, width = features.shape
    kind = {"device": features.device, "dtype": features.dtype}
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
        x = (rows @ coarse @ across.T).flatten(1).index_select(1, seen).T.contiguous()
        length = x.norm(dim=1, keepdim=True).clamp_(min=1e-12) if normalize else None
        x = x if length is None else x / length
        found = chunks.add(x, y.index_select(0, seen))
        if into is None:
            continue
        if length is not None:
            found = (found - x * (found * x).sum(1, keepdim=True)) / length
        fine = found.new_zeros(dim, len(y)).index_copy_(1, seen, found.T)
        into[:, first:last] += rows.T @ (fine.view(dim, -1, labels.shape[1]) @ across)


def _add_whole_strips(
    chunks: "TritonChunks", features: Tensor, labels: Tensor, into: Tensor | None, normalize: bool
) -> None:
    """As `_add_strips`, without asking the host which pixels are labelled: it would wait.

    Shapes: features and into (d, h, w), labels (H, W)
    """
    dim, height, width = features.shape
    kind = {"device": features.device, "dtype": features.dtype}
    down = bilinear_matrix(height, labels.shape[0], **kind)
    across = bilinear_matrix(width, labels.shape[1], **kind)
    wide = features @ across.T
    step = max(_WHOLE_STRIP // (dim * labels.shape[1]), 1)
    for rows, y in zip(down.split(step), labels.split(step), strict=True):
        x = torch.einsum("rh,dhw->rwd", rows, wide).flatten(0, 1)
        length = x.norm(dim=1, keepdim=True).clamp_(min=1e-12) if normalize else None
        x = x if length is None else x / length
        found = chunks.add(x, y.reshape(-1))
        if into is None:
            continue
        if length is not None:
            found = (found - x * (found * x).sum(1, keepdim=True)) / length
        fine = found.view(len(rows), -1, dim)
        into += torch.einsum("rh,rwd->dhw", rows, fine) @ across


@_upsampled.register_fake
def _(features, table, labels, bias, scale, metric, normalize_after, budget, kernel, gradients):
    return fake_outputs(features, table, bias, gradients)


def _backward(ctx, gradient, *_):
    features, table, bias = scaled_gradients(ctx, gradient)
    return features, table, None, bias, None, None, None, None, None, None


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
