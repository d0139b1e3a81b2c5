"""What all losses over pixels share: which pixels count, their mean, and the regulariser."""

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.contract import IGNORE
from segsuite.core.errors import ConfigError
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.regulariser import MaxMargin
from segsuite.ops.precision import full
from segsuite.ops.streaming_cross_entropy import check_labels
from segsuite.ops.streaming_upsampled import sampled


class PixelLoss(nn.Module, ABC):
    """The mean of a loss over labelled pixels, and the regulariser of the embeddings.

    Args:
        regulariser: None for none; a linear head has no use for one.
        max_pixels: of a batch, drawn at random anew each time; None for all. The mean over them is
            an unbiased estimate.
        global_mean: over the pixels of all processes, where each has its own number of ignored
            ones; otherwise processes count alike.
    """

    metrics: tuple[str, ...] = ("dot", "sq", "l2")
    """How pixels and classes may meet for this loss."""

    def __init__(
        self,
        *,
        regulariser: MaxMargin | None = None,
        max_pixels: int | None = None,
        global_mean: bool = False,
    ) -> None:
        super().__init__()
        if max_pixels is not None and max_pixels < 1:
            raise ConfigError(
                f"method.loss.max_pixels={max_pixels} leaves nothing to learn from; set it to at "
                "least 1, or to null for all"
            )
        self.regulariser = regulariser
        self.max_pixels, self.global_mean = max_pixels, global_mean

    def forward(self, output: EssnetOutput, labels: Tensor) -> dict[str, Tensor]:
        """`ce`, and `margin` where there is a regulariser; 0 where no pixel has a label.

        Shapes: labels (B, H, W) int64 with IGNORE; features are upsampled to their size
        """
        if output.metric not in self.metrics:
            raise ConfigError(
                f"method/loss={_name(self)} cannot train a head whose pixels and classes meet by "
                f"`{output.metric}`, only by {', '.join(self.metrics)}; type method/loss=exact, or "
                "method/head=embedding"
            )
        if self.max_pixels is not None:
            labels = sampled(labels, self.max_pixels)
        with torch.autocast(labels.device.type, enabled=False):
            total, count = self.summed(output, labels)
            losses = {"ce": total / self._pixels(count).to(total.dtype)}
            if self.regulariser is not None and output.metric != "dot":
                losses["margin"] = self.regulariser(output.table)
        return losses

    @abstractmethod
    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss summed over labelled pixels, and their number."""

    def least_bytes(self, pixels: int, classes: int) -> int:
        """What a step holds at least that grows with pixels times classes; for benchmarks."""
        del pixels, classes
        return 0

    def _pixels(self, count: Tensor) -> Tensor:
        """What to divide by; 1 where there is no pixel."""
        if self.global_mean and dist.is_initialized():
            count = count.clone().double()
            dist.all_reduce(count)
            count = count / dist.get_world_size()
        return count.clamp(min=1)


def labelled_pixels(output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Upsampled features of the labelled pixels (N, d), and their labels (N,), checked."""
    check_labels(labels, len(output.table))
    fine = F.interpolate(
        full(output.features), size=labels.shape[1:], mode="bilinear", align_corners=False
    )
    seen = (labels.flatten() != IGNORE).nonzero().squeeze(1)
    pixels = fine.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, seen)
    pixels = F.normalize(pixels, dim=1) if output.normalize_after else pixels
    return pixels, labels.flatten().index_select(0, seen)


def logits_of(squares: Tensor, output: EssnetOutput) -> Tensor:
    """Logits of squared distances to classes, by the head's metric."""
    if output.metric == "sq":
        return squares * -output.scale
    # The root has no slope at 0; there, the gradient is taken as 0.
    return squares.clamp(min=1e-24).sqrt() * -output.scale


def chosen_squares(pixels: Tensor, table: Tensor, chosen: Tensor) -> Tensor:
    """(N, k): |x - e|^2 to the classes chosen for each pixel.

    As |x|^2 - 2 x.e + |e|^2, so that no (N, k, d) difference is kept.

    Shapes: pixels (N, d), table (C, d), chosen (N, k)
    """
    vectors = table[chosen]
    products = torch.bmm(vectors, pixels.unsqueeze(2)).squeeze(2)
    squares = pixels.square().sum(1, keepdim=True) + table.square().sum(1)[chosen]
    return squares - 2 * products


def check_choice(k: int, classes: int, key: str = "method.loss.k") -> None:
    """Raises ConfigError unless there are k classes beside a pixel's own."""
    if not 1 <= k < classes:
        raise ConfigError(
            f"{key}={k} must be between 1 and {classes - 1}, since the data have {classes} classes"
        )


def _name(loss: nn.Module) -> str:
    return type(loss).__module__.rpartition(".")[2]
