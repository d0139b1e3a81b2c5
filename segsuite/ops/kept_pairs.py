"""How many pairs of pixel and class a softmax in float32 sees: how separated the classes are."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.labels import IGNORE
from segsuite.ops.precision import full
from segsuite.ops.streaming_odds import cutoff_for

_LOGITS = 2**18
"""Of how many pairs the share is taken."""


@torch.no_grad()
def share_kept(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    metric: str = "dot",
    cutoff: float | None = None,
    normalize: bool = False,
) -> Tensor:
    """Share of pairs that are less than the cutoff below their pixel's highest and own logit.

    Of evenly spaced coarse points, about 2^18 pairs; nan without a labelled point.

    Args:
        cutoff: as of `streaming_cross_entropy`.
        normalize: whether features are brought to length 1 first.

    Shapes: features (B, d, h, w), table (C, d), labels (B, H, W) int64 with IGNORE, bias (C,) -> ()
    """
    size, e = tuple(features.shape[2:]), full(table)
    # Labels are whole numbers below 2^24, which float32 holds.
    near = F.interpolate(labels.unsqueeze(1).float(), size=size, mode="nearest-exact")
    y = near.flatten().long()
    seen = (y != IGNORE).nonzero().squeeze(1)
    seen = seen[:: max(len(seen) * len(e) // _LOGITS, 1)]
    x = full(features).permute(0, 2, 3, 1).flatten(0, 2).index_select(0, seen)
    x = F.normalize(x, dim=1) if normalize else x
    if metric == "dot":
        logits = scale * x @ e.T + (0 if bias is None else full(bias))
    else:
        distances = torch.cdist(x, e)
        logits = -scale * (distances.square() if metric == "sq" else distances)
    own = logits.gather(1, y.index_select(0, seen).unsqueeze(1))  # never above the highest
    return (logits >= own - cutoff_for(cutoff, len(e))).float().mean()
