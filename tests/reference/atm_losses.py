"""The attention-to-mask loss, one image and one class at a time, at full resolution."""

import torch
import torch.nn.functional as F
from torch import Tensor


def atm_losses(
    masks: Tensor,
    classes: Tensor,
    labels: Tensor,
    *,
    no_object: float = 0.1,
    leave_ignored: bool = False,
    stride: int = 1,
    weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Unweighted terms of one head.

    Shapes: masks (B, K, h, w), classes (B, K, 2 or K + 1), labels (B, H, W) -> scalars
    """
    batch, count = masks.shape[:2]
    last = classes.shape[-1] - 1
    focal = dice = masks.sum() * 0
    entropy, total, found = 0.0, 0.0, 0.0
    for b in range(batch):
        for c in range(count):
            truth = labels[b] == c
            own = c if last == count else 0
            of_class = 1.0 if weights is None else float(weights[c])
            target, weight = (own, of_class) if truth.any() else (last, no_object)
            entropy = entropy - weight * classes[b, c].log_softmax(-1)[target]
            total += weight
            if not truth.any():
                continue
            found += of_class
            logits = F.interpolate(
                masks[b, c][None, None], size=labels.shape[-2:], mode="bilinear"
            )[0, 0]
            looked_at = torch.zeros_like(truth)
            looked_at[stride // 2 :: stride, stride // 2 :: stride] = True
            if leave_ignored:
                looked_at &= labels[b] != -1
            z, t = logits[looked_at], truth[looked_at].to(masks.dtype)
            p = z.sigmoid()
            right = p * t + (1 - p) * (1 - t)
            alpha = 0.25 * t + 0.75 * (1 - t)
            cross_entropy = F.binary_cross_entropy_with_logits(z, t, reduction="none")
            focal = focal + of_class * (alpha * (1 - right) ** 2 * cross_entropy).sum() / max(
                z.numel(), 1
            )
            share = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            dice = dice + of_class * (1 - share)
    found = max(found, 1) if weights is None else found
    return {"class": entropy / total, "focal": focal / found, "dice": dice / found}
