"""What the ESSNet family hands to its losses: pixel features, class vectors, and how they meet."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from segsuite.ops.precision import full

Metric = Literal["dot", "sq", "l2"]
"""How a pixel x meets a class e: s x.e + b, -s |x - e|^2 (paper, equation 5) or -s |x - e|."""


@dataclass(frozen=True)
class EssnetOutput:
    """Everything that the logits of all pixels and classes follow from, and none of the logits.

    Attributes:
        features: features (B, d, h, w) at the decoder's stride, normalised already unless
            `normalize_after`.
        table: embeddings (C, d), normalised already where wanted, or a linear head's weights.
        bias: biases (C,) of a linear head; None for embeddings.
        scale: s in the metric; 1 / tau for embeddings, 1 for a linear head.
        metric: how pixels and classes meet; `dot` for a linear head.
        normalize_after: whether pixels get unit length after upsampling, not before.
    """

    features: Tensor
    table: Tensor
    bias: Tensor | None
    scale: float
    metric: Metric
    normalize_after: bool = False

    def offset(self) -> Tensor | None:
        """(C,): what is added to x.e so that the highest class is that of the logits.

        -|e|^2 / 2 makes the product a distance, whatever the scale.
        """
        if self.metric == "dot":
            return None if self.bias is None else full(self.bias) / self.scale
        return -full(self.table).square().sum(1) / 2
