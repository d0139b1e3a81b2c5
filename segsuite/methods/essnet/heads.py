"""How pixels meet classes: a weight vector per class, or a point per class in a small space."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import Count, Positive
from segsuite.core.idle import counts
from segsuite.methods.essnet.output import EssnetOutput, Metric
from segsuite.ops.precision import full


class LinearHead(nn.Module):
    """The plain head: the last 1 x 1 convolution, its product left to the loss.

    Args:
        in_channels: channels of the decoder's map.
    """

    def __init__(self, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, in_channels))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> EssnetOutput:
        """Features as they are, weights, bias.

        Shapes: x (B, in_channels, h, w)
        """
        return EssnetOutput(features=x, **self.classes())

    def classes(self) -> dict[str, Any]:
        """What an EssnetOutput says of classes."""
        return {"table": self.weight, "bias": self.bias, "scale": 1.0, "metric": "dot"}


@counts(normalize_stage={"normalize": ("both",)})
class EmbeddingHead(nn.Module):
    """ESSNet's: pixels are projected to d numbers, classes are points among them (section 3.1).

    Args:
        in_channels: channels of the decoder's map.
        dim: d, numbers per pixel and class.
        tau: the temperature of equation 5.
        metric: `sq`, squared distances as in the paper, or `l2`, as in its code.
        normalize: which get unit length: `none`, `class` (embeddings) or `both` (pixels too).
        normalize_stage: whether pixels get it before upsampling, as the code does, or after.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: Count,
        dim: Count = 12,
        tau: Positive = 0.05,
        metric: Literal["sq", "l2"] = "sq",
        normalize: Literal["none", "class", "both"] = "both",
        normalize_stage: Literal["before_upsample", "after_upsample"] = "before_upsample",
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, dim, 1)
        nn.init.kaiming_normal_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.embeddings = nn.Parameter(torch.empty(num_classes, dim).uniform_(-1, 1))
        self.tau, self.normalize = tau, normalize
        self.metric: Metric = metric
        self.normalize_after = normalize == "both" and normalize_stage == "after_upsample"

    def forward(self, x: Tensor) -> EssnetOutput:
        """Pixel embeddings and class embeddings.

        Shapes: x (B, in_channels, h, w)
        """
        features = self.project(x)
        if self.normalize == "both" and not self.normalize_after:
            # In bfloat16 lengths would be off by a hundredth, times 1 / tau.
            features = F.normalize(full(features), dim=1)
        return EssnetOutput(features=features, **self.classes())

    def classes(self) -> dict[str, Any]:
        """What an EssnetOutput says of classes."""
        return {
            "table": self.table(),
            "bias": None,
            "scale": 1 / self.tau,
            "metric": self.metric,
            "normalize_after": self.normalize_after,
        }

    def table(self) -> Tensor:
        """(C, d): the class embeddings as the losses see them."""
        if self.normalize == "none":
            return self.embeddings
        return F.normalize(full(self.embeddings), dim=1)
