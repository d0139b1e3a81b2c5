"""What all losses over pixels share: which pixels count, their mean, and the regulariser."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import NotNegative
from segsuite.core.idle import counts
from segsuite.core.labels import IGNORE
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.methods.essnet.regulariser import MaxMargin
from segsuite.nn.class_weights import ClassWeights
from segsuite.nn.dense_losses import HardPixels
from segsuite.ops.bilinear import resized
from segsuite.ops.class_weighting import counted, label_weights, mean_of
from segsuite.ops.precision import full
from segsuite.ops.streaming_cross_entropy import check_labels
from segsuite.ops.streaming_upsampled import sampled


@counts(ohem_kept={"ohem": ()})
class PixelLoss(nn.Module, ABC):
    """The mean of a loss over labelled pixels, and the regulariser of the embeddings.

    Args:
        regulariser: regulariser of the embeddings; None for none, as a linear head has no use for
            one.
        max_pixels: how many pixels of a batch are learnt from, drawn at random anew each time; None
            for all. The mean over them is an unbiased estimate.
        global_mean: whether the mean is over the pixels of all processes, where each has its own
            number of ignored ones; otherwise processes count alike.
        class_weights: weights of the classes, see `nn.class_weights`; the mean is that of
            F.cross_entropy(weight=).
        ohem: probability of its class below which a pixel is learnt from; None for all pixels.
        ohem_kept: share of a batch's labelled pixels, the hardest, that is learnt from at least.
        dice: weight of the Dice loss beside it, for which all scores must be there.

    Raises:
        ConfigError: a setting that leaves nothing to learn from, or a Dice loss without scores.
    """

    metrics: tuple[str, ...] = ("dot", "sq", "l2")
    """How pixels and classes may meet for this loss."""

    has_scores = False
    """Whether all classes' scores of all pixels are held."""

    def __init__(
        self,
        *,
        regulariser: MaxMargin | None = None,
        max_pixels: int | None = None,
        global_mean: bool = False,
        class_weights: Sequence[float] | str | None = None,
        ohem: float | None = None,
        ohem_kept: float = 0.0625,
        dice: NotNegative = 0.0,
    ) -> None:
        super().__init__()
        if dice and not self.has_scores:
            raise ConfigError(
                f"method.loss.dice={dice} needs the scores of all classes at full resolution, "
                f"which method/loss={_name(self)} never makes; type method/loss=dense, or "
                "method.loss.dice=0"
            )
        if max_pixels is not None and max_pixels < 1:
            raise ConfigError(
                f"method.loss.max_pixels={max_pixels} leaves nothing to learn from; set it to at "
                "least 1, or to null for all"
            )
        self.regulariser = regulariser
        self.max_pixels, self.global_mean, self.dice = max_pixels, global_mean, dice
        self.class_weights, self.hard = ClassWeights(class_weights), HardPixels(ohem, ohem_kept)

    def forward(self, output: EssnetOutput, labels: Tensor) -> dict[str, Tensor]:
        """`ce`, `dice` where it has a weight, and `margin` where there is a regulariser.

        The first two are 0 where no pixel has a label.

        Shapes: labels (B, H, W) int64 with IGNORE; features are upsampled to their size
        """
        if output.metric not in self.metrics:
            raise ConfigError(
                f"method/loss={_name(self)} cannot train a head whose pixels and classes meet by "
                f"`{output.metric}`, only by {', '.join(self.metrics)}; type method/loss=exact, or "
                "method/head=embedding"
            )
        self.check_classes(len(output.table))
        if self.max_pixels is not None:
            labels = sampled(labels, self.max_pixels)
        with torch.autocast(labels.device.type, enabled=False):
            total, count, further = self.measured(output, labels)
            losses = {"ce": mean_of(total, self._counted(count)), **further}
            if self.regulariser is not None and output.metric != "dot":
                losses["margin"] = self.regulariser(output.table)
        return losses

    @abstractmethod
    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss summed over labelled pixels, and their number or the sum of their weights."""

    def check_classes(self, classes: int) -> None:
        """Raises ConfigError where a setting does not fit this many; asked before any training."""

    def measured(
        self, output: EssnetOutput, labels: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """As `summed`, and losses beside the mean, already weighted."""
        return *self.summed(output, labels), {}

    def least_bytes(self, pixels: int, classes: int) -> int:
        """What a step holds at least that grows with pixels times classes; for benchmarks."""
        del pixels, classes
        return 0

    def weights(self, output: EssnetOutput) -> Tensor | None:
        """(C,) of the classes; None where they count alike."""
        return self.class_weights.of(len(output.table))

    def summed_up(self, each: Tensor, own: Tensor, output: EssnetOutput) -> tuple[Tensor, Tensor]:
        """The sum over pixels of which each loss is known, and what to divide it by.

        Shapes: each and own, their labels, (N,)
        """
        if self.hard:
            own = self.hard.labels(each.detach(), own)
            each = each.masked_fill(own == IGNORE, 0.0)
        weights = self.weights(output)
        total = each if weights is None else each * label_weights(own, weights)
        return total.sum(), counted(own, weights)

    def _counted(self, count: Tensor) -> Tensor:
        """The mean count of all processes if wanted."""
        if self.global_mean and dist.is_initialized():
            count = count.clone().double()
            dist.all_reduce(count)
            count = count / dist.get_world_size()
        return count


def labelled_pixels(output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Upsampled features of the labelled pixels (N, d), and their labels (N,), checked."""
    check_labels(labels, len(output.table))
    fine = resized(full(output.features), tuple(labels.shape[1:]))
    seen = (labels.flatten() != IGNORE).nonzero().squeeze(1)
    pixels = fine.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, seen)
    pixels = F.normalize(pixels, dim=1) if output.normalize_after else pixels
    return pixels, labels.flatten().index_select(0, seen)


def chosen_logits(pixels: Tensor, own: Tensor, others: Tensor, output: EssnetOutput) -> Tensor:
    """(N, 1 + k): logits of the classes chosen for each pixel, its own first, by the head's metric.

    From |x|^2 - 2 x.e + |e|^2, so that no (N, k, d) difference is kept.

    Shapes: pixels (N, d), own (N,), others (N, k)
    """
    table = output.table.to(pixels.dtype)
    chosen = torch.cat([own.unsqueeze(1), others], dim=1)
    products = torch.bmm(table[chosen], pixels.unsqueeze(2)).squeeze(2)
    squares = pixels.square().sum(1, keepdim=True) + table.square().sum(1)[chosen]
    squares = squares - 2 * products
    if output.metric == "sq":
        return squares * -output.scale
    # The root has no slope at 0; there, the gradient is taken as 0.
    return squares.clamp(min=1e-24).sqrt() * -output.scale


def check_choice(k: int, classes: int) -> None:
    """Raises ConfigError unless there are k classes beside a pixel's own."""
    if not 1 <= k < classes:
        raise ConfigError(
            f"method.loss.k={k} must be between 1 and {classes - 1}, since the data have {classes} "
            "classes"
        )


def _name(loss: nn.Module) -> str:
    return type(loss).__module__.rpartition(".")[2]
