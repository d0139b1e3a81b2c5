"""The loss of the scores, and a share of that of the auxiliary heads."""

from typing import Any

from torch import Tensor

from segsuite.core.arguments import with_arguments_of
from segsuite.core.hints import NotNegative
from segsuite.methods.hyctas.network import Output
from segsuite.nn.pixel_loss import PixelCrossEntropy


class HybridLoss(PixelCrossEntropy):
    """`PixelCrossEntropy` of the network's scores and of each auxiliary head's.

    Args:
        auxiliary: weight of the auxiliary heads' losses (paper: 0.2).
    """

    @with_arguments_of(PixelCrossEntropy)
    def __init__(self, *, auxiliary: NotNegative = 0.2, **common: Any) -> None:
        super().__init__(**common)
        self.auxiliary = auxiliary

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """`ce`, `dice` where it has a weight, and `auxiliary` where there are such heads.

        Shapes: labels (B, H, W) int64 with IGNORE
        """
        losses = super().forward(output.main, labels)
        beside = [
            sum(super(HybridLoss, self).forward(each, labels).values()) for each in output.auxiliary
        ]
        return {**losses, **({"auxiliary": self.auxiliary * sum(beside)} if beside else {})}
