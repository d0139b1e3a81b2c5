"""Stochastic depth: a residual branch is left out for some images in training."""

from torch import Tensor, nn


# Not timm's, which draw and compute the same: importing timm takes a second of every start.
class DropPath(nn.Module):
    """Drops a branch of a residual block for whole images, in training (Huang et al., 2016).

    Shapes: x (B, ...) -> (B, ...)
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        kept = x.new_empty((x.shape[0], *[1] * (x.ndim - 1))).bernoulli_(keep)
        return x * kept.div_(keep)

    def extra_repr(self) -> str:
        return f"{self.probability:.3g}"
