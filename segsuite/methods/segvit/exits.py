"""Exit scorers: how sure is the network of each token, halfway up?

DToP (ICCV 2023) asks a whole attention-to-mask head, whose masks are then the exited tokens'
answer. A linear layer asks the same question for a twentieth of the operations and a handful of
kernels; the exited tokens' features then wait for the one final head.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.arguments import with_arguments_of
from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.methods.segvit.attention_to_mask import AtmSingle
from segsuite.methods.segvit.head import AtmOutput
from segsuite.ops.class_weighting import mean_of


@dataclass(frozen=True)
class ExitScores:
    """What an exit says of the tokens it saw.

    Attributes:
        confidence: confidence (B, n) in float32, without gradient.
        label: the class (B, n) int64 that the exit would give.
        atm: the head's output on these tokens, for scorers that answer for exited tokens.
        logits: class logits (B, n, K), for scorers that only rank the tokens.
    """

    confidence: Tensor
    label: Tensor
    atm: AtmOutput | None = None
    logits: Tensor | None = None


class ExitScorer(nn.Module, ABC):
    """Scores tokens at an exit. `carries`: exited tokens' features go on to the final head."""

    carries: ClassVar[bool]

    @abstractmethod
    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> ExitScores:
        """Scores of all rows; `valid` (B, n) names those that may be looked at."""


class AtmExit(ExitScorer):
    """A single attention-to-mask head: p_i = max_k softmax(c_k)[present] * sigmoid(M_ki)."""

    carries = False

    @with_arguments_of(AtmSingle, without=["dropout"])
    def __init__(self, **head: Any) -> None:
        super().__init__()
        self.head = AtmSingle(**head)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> ExitScores:
        output = self.head(tokens, valid)
        with torch.no_grad():
            present = output.classes.float().softmax(-1)[..., :1]
            confidence, label = (present * output.masks.float().sigmoid()).max(dim=1)
        return ExitScores(confidence=confidence, label=label, atm=output)


class LinearExit(ExitScorer):
    """LayerNorm and one linear layer: p_i = max_k softmax(z_i / temperature)_k.

    Raises:
        ConfigError: a temperature that is not above 0.
    """

    carries = True

    def __init__(self, *, in_dim: int, num_classes: int, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(
                f"method.pruning.scorer.temperature={temperature} must be above 0; 1 leaves "
                "confidences as they are"
            )
        self.temperature = temperature
        self.norm = nn.LayerNorm(in_dim, eps=1e-6)
        self.classify = nn.Linear(in_dim, num_classes)
        nn.init.trunc_normal_(self.classify.weight, std=0.02)
        nn.init.zeros_(self.classify.bias)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> ExitScores:
        logits = self.classify(self.norm(tokens))
        with torch.no_grad():
            scaled = logits.float() / self.temperature
            top, label = scaled.max(dim=-1)
            # softmax at the maximum, without the K-channel softmax
            confidence = (top - scaled.logsumexp(dim=-1)).exp()
        return ExitScores(confidence=confidence, label=label, logits=logits)


def class_fractions(labels: Tensor, *, patch: int, num_classes: int) -> Tensor:
    """How much of each patch each class covers; rows of ignored pixels sum to less than 1.

    Shapes: labels (B, H, W) int64 -> (B, N, K) float32
    """
    rows, columns = labels.shape[-2] // patch, labels.shape[-1] // patch
    cells = labels.unflatten(2, (columns, patch)).unflatten(1, (rows, patch))
    cells = cells.transpose(2, 3).reshape(labels.shape[0], rows * columns, patch * patch)
    real = cells != IGNORE
    count = torch.zeros(*cells.shape[:2], num_classes, device=labels.device)
    count.scatter_add_(2, cells.where(real, cells.new_zeros(())), real.to(count.dtype))
    return count / (patch * patch)


def exit_loss(
    logits: Tensor, seen: Tensor, fractions: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Soft cross-entropy of patch logits against class fractions, over the patches that were seen.

    Args:
        weights: weights of the classes, by which the mean is weighted.

    Shapes: logits (B, N, K), seen (B, N) bool, fractions (B, N, K), weights (K,) -> scalar
    """
    weight = seen.unsqueeze(-1) * fractions
    if weights is not None:
        weight = weight * weights
    summed = -(weight * F.log_softmax(logits.float(), dim=-1)).sum()
    total = weight.sum()
    return summed / total.clamp(min=1.0) if weights is None else mean_of(summed, total)
