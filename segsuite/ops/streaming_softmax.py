"""Softmax cross-entropy over all classes with gradients, for a few pixels at a time.

One pass over a chunk of pixels gives its loss and all its gradients, and then forgets the logits,
so that memory depends neither on the number of pixels nor on that of classes. The idea, no logits
but gradients, is Cut Cross-Entropy's (Wijmans et al., ICLR 2025); here whole rows of classes fit
the cache, so that no second pass and no online maximum are needed.

With p_c the softmax over the classes other than y, and D = logsumexp of their logits - z_y:

    loss = log(1 + exp(D)),   dloss/dz_c = sigmoid(D) p_c,   dloss/dz_y = -sigmoid(D)

Nothing is subtracted from 1, so that gradients of confident pixels keep all their digits, which
p_y - 1 does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_PADDED = 2**19
"""Bytes of a table up to which a copy padded for the matrix product is worth its memory."""


@dataclass(frozen=True)
class Sums:
    """What has been added up over the chunks seen so far.

    Attributes:
        loss: () float64, the loss added over pixels.
        table: (C, d), what the table's gradient is made of, added over pixels; None when no
            gradients are wanted.
        classes: (C,), gradients of the classes' logits added over pixels; None likewise.
    """

    loss: Tensor
    table: Tensor | None
    classes: Tensor | None

    def of_gradients(self) -> tuple[Tensor, Tensor]:
        """`table` and `classes`, for those who know that gradients are wanted."""
        assert self.table is not None and self.classes is not None
        return self.table, self.classes

    def table_gradient(self, table: Tensor, metric: str, slope: float) -> Tensor:
        """(C, d) gradient of the summed loss by the table; uses the sums up."""
        total, classes = self.of_gradients()
        if metric != "dot":
            total.addcmul_(table, classes.unsqueeze(1), value=-1)
        return total.mul_(slope).contiguous()


def sums_of(table: Tensor, *, gradients: bool) -> Sums:
    """Nothing added up yet; the table's sum lies in memory as `table` does."""
    return Sums(
        loss=table.new_zeros((), dtype=torch.float64),
        table=torch.zeros_like(table) if gradients else None,
        classes=table.new_zeros(table.shape[0]) if gradients else None,
    )


class ClassChunks:
    """A table of classes, and the sums over the pixels that were shown to it.

    Args:
        table: (C, d), one row for each class.
        bias: (C,), added to the logits; for `dot` alone.
        metric: how logits are computed: `dot` (scale x.e + bias), `sq` (-scale |x - e|^2) or `l2`
            (-scale |x - e|).
        budget: number of logits held at once; at least one pixel's are.
        gradients: whether gradients are wanted.
        weights: (C,), how much a pixel of each class counts; None where all count alike.
    """

    def __init__(
        self,
        table: Tensor,
        *,
        bias: Tensor | None,
        scale: float,
        metric: str,
        budget: int,
        gradients: bool,
        weights: Tensor | None = None,
    ) -> None:
        self.table, self.metric, self.gradients, self.weights = table, metric, gradients, weights
        # Distances, not squared, are kept beside the logits and made anew for the gradient.
        self.step = max(budget // (table.shape[0] * (3 if metric == "l2" else 1)), 1)
        # -s |x - e|^2 = 2 s x.e - s |e|^2 - s |x|^2, whose last term is the same for all classes.
        self.slope = 2 * scale if metric == "sq" else scale
        self.offset = -scale * _squares(table) if metric == "sq" else bias
        self.sums = sums_of(_accumulator(table) if gradients else table, gradients=gradients)
        self._room = table.new_empty(0 if metric == "l2" else self.step, table.shape[0])
        self._wide = _padded(table) if gradients and metric != "l2" else table

    def add(self, features: Tensor, labels: Tensor, each: Tensor | None = None) -> Tensor | None:
        """The gradient (n, d) of the pixels' summed loss, which is added to the sums.

        Args:
            each: (n,), filled with the loss of each pixel.

        Shapes: features (n, d), labels (n,) in 0 .. C - 1
        """
        gradient = torch.empty_like(features) if self.gradients else None
        for rows in _slices(len(features), self.step):
            x, y = features[rows], labels[rows].unsqueeze(1)
            own = None if each is None else each[rows]
            parts = self._l2(x, y, own) if self.metric == "l2" else self._linear(x, y, own)
            if gradient is not None and parts is not None:
                gradient[rows] = parts
        return gradient

    def add_mixed(
        self, points: Tensor, mix: Tensor, labels: Tensor, each: Tensor | None = None
    ) -> Tensor | None:
        """As `add`, for pixels that are mixtures of a few points; the gradient (m, d) by points.

        Only for affine logits, which mix as features do (rows of `mix` sum to 1).

        Shapes: points (m, d), mix (n, m), labels (n,)
        """
        coarse = self._affine(points, None)
        gradient = torch.zeros_like(coarse) if self.gradients else None
        for rows in _slices(len(mix), self.step):
            logits = torch.mm(mix[rows], coarse, out=self._place(len(mix[rows])))
            own = None if each is None else each[rows]
            weight, others = self._judge(logits, labels[rows].unsqueeze(1), own)
            if gradient is not None:
                gradient.addmm_((mix[rows] * weight).T, others)
        total, classes = self.sums.table, self.sums.classes
        if gradient is None or total is None or classes is None:
            return None
        total.addmm_(gradient.T, points)
        classes.add_(gradient.sum(0))
        return torch.mm(gradient, self.table).mul_(self.slope)

    def _linear(self, x: Tensor, y: Tensor, each: Tensor | None) -> Tensor | None:
        """Logits that are affine in x."""
        weight, others = self._judge(self._affine(x, self._place(len(x))), y, each)
        total, classes = self.sums.table, self.sums.classes
        if total is None or classes is None:
            return None
        total.addmm_(others.T, x * weight)
        classes.addmv_(others.T, weight.squeeze(1))
        # Each row of `others` sums to 0, so that a term in x alone would vanish.
        return torch.mm(others, self._wide)[:, : x.shape[1]] * (weight * self.slope)

    def _affine(self, x: Tensor, out: Tensor | None) -> Tensor:
        """Logits (n, C), written to `out` where it is given."""
        if self.offset is None:
            return torch.mm(x, self.table.T, out=out).mul_(self.slope)
        return torch.addmm(self.offset, x, self.table.T, alpha=self.slope, out=out)

    def _place(self, rows: int) -> Tensor:
        """(rows, C), the same memory each time: an allocator would hand out new pages."""
        return self._room[:rows]

    def _l2(self, x: Tensor, y: Tensor, each: Tensor | None) -> Tensor | None:
        """Logits of the original code: distances, not squared."""
        distance = torch.cdist(x, self.table, compute_mode="donot_use_mm_for_euclid_dist")
        weight, others = self._judge(distance * -self.slope, y, each)
        total, classes = self.sums.table, self.sums.classes
        if total is None or classes is None:
            return None
        # The gradient of |x - e| at x = e is taken as 0.
        others = (others / distance.where(distance > 0, torch.inf)) * weight
        total.addmm_(others.T, x)
        classes.addmv_(others.T, torch.ones_like(weight).squeeze(1))
        return (torch.mm(others, self.table) - x * others.sum(1, keepdim=True)) * self.slope

    def _judge(self, logits: Tensor, y: Tensor, each: Tensor | None) -> tuple[Tensor, Tensor]:
        """Adds the loss; sigmoid(D) (n, 1), and p with -1 at y (n, C), in the logits' memory.

        Where classes have weights, these are in the loss and in sigmoid(D).
        """
        target = logits.gather(1, y)
        logits.scatter_(1, y, -torch.inf)
        highest = logits.amax(1, keepdim=True)
        others = torch.softmax(logits, dim=1, out=logits)
        # The softmax of the highest is one over the sum of exponentials.
        margin = highest - others.amax(1, keepdim=True).log_() - target
        negative = F.logsigmoid(-margin)
        slope = margin.sigmoid_()
        if self.weights is not None:
            own = self.weights[y]
            negative, slope = negative * own, slope.mul_(own)
        self.sums.loss.sub_(negative.sum(dtype=torch.float64))
        if each is not None:
            torch.neg(negative.squeeze(1), out=each)
        return slope, others.scatter_(1, y, -1.0)


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))


def _squares(table: Tensor) -> Tensor:
    """(C,): |e|^2, by the one operation that makes no copy of the table on its way."""
    return torch.linalg.vector_norm(table, dim=1).square_()


def _accumulator(table: Tensor) -> Tensor:
    """(C, d) of anything, lying in memory as (d, C) where small: that product is twice as fast.

    A large one must not be transposed in the end, which would take its memory twice.
    """
    classes, dim = table.shape
    if table.nbytes <= _PADDED:
        return table.new_empty(dim, classes).T
    return table.new_empty(classes, dim)


def _padded(table: Tensor) -> Tensor:
    """A small table with columns of zeros up to a multiple of 16, the width of vector registers."""
    width = table.shape[1]
    return table if table.nbytes > _PADDED else F.pad(table, (0, -width % 16))
