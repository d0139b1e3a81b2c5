"""Focal and dice loss of coarse masks against full-resolution labels, in little memory.

Nothing of full resolution outlives a chunk of a few masks. A mask's losses depend on nothing but
that mask, so its gradient is worked out right after its loss, while all is still in the cache, and
brought back to the coarse grid, where it is small enough to be kept for the backward pass.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from segsuite.core.labels import IGNORE
from segsuite.ops.bilinear import bilinear_matrix
from segsuite.ops.precision import full_type

ALPHA = 0.25
"""Weight of positive pixels in the focal loss, whose exponent is 2."""

_CHUNK_CPU, _CHUNK_DEVICE = 2**19, 2**25
"""Mask pixels worked on at once: what stays in a CPU's cache, and what fills a GPU."""


def mask_losses(
    masks: Tensor,
    labels: Tensor,
    present: Tensor,
    *,
    stride: int = 1,
    leave_ignored: bool = False,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of each present class's mask.

    focal: mean over pixels of alpha_t * (1 - p_t)^2 * cross-entropy (Lin et al., 2017).
    dice: 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) (Milletari et al., 2016).

    Args:
        stride: only every n-th label pixel of both axes is looked at.
        leave_ignored: whether ignored pixels count nowhere; else they are negatives of every class.
        weights: weights (K,) that the losses of a class's masks are multiplied by.

    Shapes: masks (L, B, K, h, w) of L heads, labels (B, H, W), present (B, K) bool with P trues
        -> (L, P), (L, P)
    """
    image, label = present.nonzero(as_tuple=True)
    offset = stride // 2
    exact = full_type(masks)  # never in half precision
    rows, columns = (
        bilinear_matrix(small, large, device=masks.device, dtype=exact)[offset::stride]
        for small, large in zip(masks.shape[-2:], labels.shape[-2:], strict=True)
    )
    targets = labels[:, offset::stride, offset::stride].contiguous()
    focal, dice = _MaskLosses.apply(
        masks[:, image, label], targets, image, label, rows, columns, leave_ignored
    )
    if weights is None:
        return focal, dice
    own = weights[label].to(focal.dtype)
    return focal * own, dice * own


class _MaskLosses(torch.autograd.Function):
    """Losses of P masks under L heads, with their gradients on the coarse grid ready made.

    Shapes: masks (L, P, h, w), targets (B, H, W), image (P,), label (P,), rows (H, h),
        columns (W, w) -> (L, P), (L, P)
    """

    @staticmethod
    def forward(
        ctx: Any,
        masks: Tensor,
        targets: Tensor,
        image: Tensor,
        label: Tensor,
        rows: Tensor,
        columns: Tensor,
        leave_ignored: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.kind = masks.dtype
        heads, count = masks.shape[:2]
        losses = rows.new_empty(2, heads, count)
        wanted = ctx.needs_input_grad[0]
        gradients = rows.new_empty(2, *masks.shape) if wanted else None
        limit = _CHUNK_CPU if masks.device.type == "cpu" else _CHUNK_DEVICE
        step = max(limit // (heads * targets[0].numel()), 1)
        with torch.autocast(masks.device.type, enabled=False):
            for start in range(0, count, step):
                part = slice(start, start + step)
                truth = targets[image[part]]
                hit = (truth == label[part, None, None]).to(rows.dtype)
                counted = (truth != IGNORE).to(rows.dtype) if leave_ignored else None
                logits = rows @ (masks[:, part].to(rows.dtype) @ columns.T)
                losses[:, :, part], slopes = _losses_and_slopes(logits, hit, counted, wanted)
                if wanted:
                    for gradient, slope in zip(gradients, slopes, strict=True):
                        gradient[:, part] = (rows.T @ slope) @ columns
        if wanted:
            ctx.save_for_backward(gradients)
        return losses[0], losses[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, focal: Tensor, dice: Tensor) -> tuple[Tensor | None, ...]:
        (gradients,) = ctx.saved_tensors
        coarse = gradients[0] * focal[..., None, None] + gradients[1] * dice[..., None, None]
        return coarse.to(ctx.kind), *[None] * 6


def _losses_and_slopes(
    logits: Tensor, hit: Tensor, counted: Tensor | None, wanted: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Focal and dice loss per mask (2, L, p), and their derivatives by every pixel's logit.

    With t the truth and z the logit, a = (1 - 2t) z is the logit of the wrong answer and
    q = sigmoid(a) its probability. A pixel's focal loss is alpha_t q^2 softplus(a), and its
    derivative by a is alpha_t q^2 (2 (1 - q) softplus(a) + q); that of q is q (1 - q).

    Shapes: logits (L, p, H, W), hit and counted (p, H, W) of 0 and 1
    """
    pixels = hit[0].numel() if counted is None else counted.sum((1, 2)).clamp(min=1)
    wrong = logits * (1 - 2 * hit)
    log_loss = F.softplus(wrong)
    q = wrong.sigmoid_()
    if counted is not None:
        hit, q = hit * counted, q * counted  # q = 0 ends a pixel's part in every sum and slope
    q2 = q * q
    focal = q2 * log_loss
    in_truth, wrong_in_truth, focal_in_truth = _sum(hit), _dot(q, hit), _dot(focal, hit)
    focal_loss = ((1 - ALPHA) * _sum(focal) - (1 - 2 * ALPHA) * focal_in_truth) / pixels
    overlap = 2 * (in_truth - wrong_in_truth) + 1
    area = (_sum(q) - 2 * wrong_in_truth + in_truth) + in_truth + 1
    losses = torch.stack([focal_loss, 1 - overlap / area])
    if not wanted:
        return losses, ()
    dice_slope = hit * (-2 / area)[..., None, None]
    dice_slope += (overlap / area.square())[..., None, None]
    dice_slope *= q - q2
    twice = focal.mul_(2)
    focal_slope = q2.sub_(twice).mul_(q).add_(twice)  # 2 f (1 - q) + q^3
    focal_slope *= ((1 - ALPHA) - hit) / (pixels if counted is None else pixels[:, None, None])
    return losses, (focal_slope, dice_slope)


def _sum(x: Tensor) -> Tensor:
    return x.flatten(-2).sum(-1)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vecdot(x.flatten(-2), y.flatten(-2))
