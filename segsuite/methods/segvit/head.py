"""What a head of SegViT promises: masks and classes of tokens, and what they mean together."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from segsuite.nn.segmenter import Prediction
from segsuite.nn.token_trace import TokenTrace


@dataclass(frozen=True)
class AtmOutput:
    """What one head says of the tokens it saw.

    Attributes:
        masks: mask logits per class, (B, K, n), or (B, K, gh, gw) once put on the grid.
        classes: logits (B, K, 2) of "present" and "absent" per query for `AtmSingle`, or (B, K, K +
            1) of every class and "no object" for `AtmCascade`.
    """

    masks: Tensor
    classes: Tensor


class Head(nn.Module, ABC):
    """A head of SegViT; `conf/method/head/segvit/*.yaml` chooses one.

    A head that `reads_taps` is called as `head(features)` with the features of all slots after the
    blocks that `SegVit.taps` names, from shallow to deep, each (B, n0, C); it gives one output per
    feature, the answer last. Another is called as `head(tokens, valid)` with the tokens that are
    alive, (B, n, C), and which of them are real, (B, n) bool or None; it gives one output.
    """

    reads_taps: ClassVar[bool] = False

    @abstractmethod
    def forward(self, *seen: Any) -> "AtmOutput | list[AtmOutput]":
        """Masks and classes of what the head sees."""

    @abstractmethod
    def prediction(self, output: AtmOutput, trace: TokenTrace | None = None) -> Prediction:
        """Labels and scores of the head's answer, its masks on the grid (B, K, gh, gw)."""
