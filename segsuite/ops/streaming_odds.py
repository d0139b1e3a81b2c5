"""Exact softmax cross-entropy by the odds against each pixel's own class: half the passes.

With z the logits, y a pixel's class, and the sum over all other classes,

    odds = sum exp(z_c - z_y),   loss = log(1 + odds),
    dloss/dz_c = exp(z_c - z_y) / (1 + odds),   dloss/dz_y = -odds / (1 + odds)

so that neither the highest logit nor a normalised softmax is needed: one product whose inner size
is two more gives z_c - z_y, one exponential is made in place, and the product with the classes
gives the odds beside the gradient. Nothing is subtracted from 1, as in `ops.streaming_softmax`.

What is left out is what float32 cannot hold: exponentials below 1.2e-38 are 0. Those pairs count
for nothing if they are a `cutoff` t below the pixel's highest logit and its own one: C of them are
at most C exp(-t) of the sum, which is 2^-24 of it, float32's rounding, at t = 24 log 2 + log C.
Pixels whose odds are not within what that needs go the other way, by their highest logit.
"""

import math

import torch
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.ops.streaming_softmax import ClassChunks, Sums

_LARGEST = 2**20
"""Bytes of a table up to which three more of its size are worth their memory."""

_MOST = {torch.float32: 1e30, torch.float64: 1e300}
"""Odds from which on products with features might be infinite."""


def smallest_cutoff(classes: int) -> float:
    """24 log 2 + log C: pairs so far below their pixel's highest are float32's rounding at most."""
    return 24 * math.log(2) + math.log(classes)


def cutoff_for(cutoff: float | None, classes: int) -> float:
    """The cutoff asked for, or the smallest one that is proven.

    Raises:
        ConfigError: it is below that.
    """
    least = smallest_cutoff(classes)
    if cutoff is None:
        return least
    if not cutoff >= least:
        raise ConfigError(
            f"method.loss.cutoff={cutoff} leaves out pairs that float32 would count: with "
            f"{classes} classes the smallest that is proven is 24 log 2 + log {classes} = "
            f"{least:.2f}; type method.loss.cutoff=null for that one, or "
            f"method.loss.cutoff={math.ceil(least)} or more"
        )
    return float(cutoff)


def has_odds(table: Tensor, metric: str, cutoff: float) -> bool:
    """Whether `OddsChunks` may be used: on a CPU, as it looks at what comes out."""
    fine = metric != "l2" and table.nbytes <= _LARGEST and table.dtype in _MOST
    return fine and table.device.type == "cpu" and _least_odds(table, cutoff) < 1


def _least_odds(table: Tensor, cutoff: float) -> float:
    """Odds from which on all pairs within the cutoff are numbers of the table's type.

    The highest pair is odds / C at least, and `cutoff` below it there must still be a number.
    """
    logarithm = math.log(len(table)) + cutoff + math.log(torch.finfo(table.dtype).tiny)
    return math.exp(min(logarithm, 700.0))


class OddsChunks(ClassChunks):
    """As `ClassChunks`, for logits that are affine in the features and tables that are not large.

    Args:
        cutoff: how far below its pixel's highest and own logit a pair may be left out.
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
        cutoff: float,
        weights: Tensor | None = None,
    ) -> None:
        super().__init__(
            table,
            bias=bias,
            scale=scale,
            metric=metric,
            budget=budget,
            gradients=gradients,
            weights=weights,
        )
        classes, dim = table.shape
        self._own = table.new_zeros(classes) if self.offset is None else self.offset
        ones = torch.ones_like(self._own)
        # (x, 1, -z_y) times these columns is z - z_y.
        self._columns = torch.cat([table.T * self.slope, self._own[None], ones[None]])
        self._wide = torch.cat([table, ones[:, None]], 1)
        self._odds = (_least_odds(table, cutoff), _MOST[table.dtype])
        if gradients:
            sums = table.new_zeros(dim + 1, classes)
            self.sums = Sums(loss=self.sums.loss, table=sums[:dim].T, classes=sums[dim])
            self._sums = sums

    def add(self, features: Tensor, labels: Tensor, each: Tensor | None = None) -> Tensor | None:
        """As of `ClassChunks`; a few thousand pixels at a time, of which there are copies."""
        count, dim = features.shape
        if not count:
            return super().add(features, labels, each)
        own = self.table.index_select(0, labels)
        target = torch.linalg.vecdot(features, own).mul_(self.slope)
        target += self._own.index_select(0, labels)
        x = torch.cat([features, torch.ones_like(target)[:, None], target.neg_()[:, None]], 1)
        products = x.new_empty(count, dim + 1 if self.gradients else 1)
        aside = self._add(x, labels, products)
        odds = products[:, -1:]
        scale = None if self.weights is None else self.weights.index_select(0, labels)
        losses = odds.log1p().squeeze(1)
        losses = losses if scale is None else losses.mul_(scale)
        self.sums.loss.add_(losses.sum(dtype=torch.float64))
        if each is not None:
            each.copy_(losses)
        gradient = None
        if self.gradients:
            gradient = torch.addcmul(products[:, :dim], odds, own, value=-1)
            slope = self.slope / (1 + odds)
            gradient *= slope if scale is None else slope.mul_(scale[:, None])
        return gradient if aside is None else self._instead(aside, features, labels, gradient, each)

    def _add(self, x: Tensor, labels: Tensor, products: Tensor) -> Tensor | None:
        """Fills `products` with exp(z - z_y) times the classes, and the odds behind these.

        Returns:
            The pixels (k,) that were left out, whose products are 0; None for none.
        """
        step, classes = self._room.shape
        places = labels + torch.arange(len(x)).remainder_(step).mul_(classes)
        flat, aside = self._room.view(-1), []
        parts = zip(x.split(step), places.split(step), products.split(step), strict=True)
        for index, (rows, own, product) in enumerate(parts):
            logits = torch.mm(rows, self._columns, out=self._place(len(rows)))
            flat.index_fill_(0, own, -torch.inf)
            others = logits.exp_()
            if self.gradients:
                torch.mm(others, self._wide, out=product)
            else:
                torch.sum(others, 1, keepdim=True, out=product)
            odds = product[:, -1:]
            lowest, highest = torch.aminmax(odds)
            if not (lowest >= self._odds[0] and highest <= self._odds[1]):
                wrong = ~((odds >= self._odds[0]) & (odds <= self._odds[1])).squeeze(1)
                wrong = wrong.nonzero().squeeze(1)
                others.index_fill_(0, wrong, 0.0)
                product.index_fill_(0, wrong, 0.0)
                aside.append(wrong + index * step)
            if self.gradients:
                flat.index_copy_(0, own, odds.squeeze(1).neg())
                weights = 1 + odds
                if self.weights is not None:
                    weights /= self.weights.index_select(0, labels[index * step :][: len(rows)])[
                        :, None
                    ]
                self._sums.addmm_((rows[:, :-1] / weights).T, others)
        return torch.cat(aside) if aside else None

    def _instead(
        self,
        aside: Tensor,
        features: Tensor,
        labels: Tensor,
        gradient: Tensor | None,
        each: Tensor | None,
    ) -> Tensor | None:
        """Adds the pixels that were left out by their highest logits."""
        x, y = features.index_select(0, aside), labels.index_select(0, aside)
        losses = None if each is None else x.new_empty(len(x))
        found = super().add(x, y, losses)
        if each is not None and losses is not None:
            each.index_copy_(0, aside, losses)
        if gradient is None or found is None:
            return None
        return gradient.index_copy_(0, aside, found)
