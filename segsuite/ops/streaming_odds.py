"""Exact softmax cross-entropy by the odds against each pixel's own class: half the passes.

With z the logits, y a pixel's class, and the sum over all other classes,

    odds = sum exp(z_c - z_y),   loss = log(1 + odds),
    dloss/dz_c = exp(z_c - z_y) / (1 + odds),   dloss/dz_y = -odds / (1 + odds)

so that neither the highest logit nor a normalised softmax is needed: one product whose inner size
is two more gives z_c - z_y, one exponential is made in place, and the product with the classes
gives the odds beside the gradient. Nothing is subtracted from 1, as in `ops.streaming_softmax`.

Pairs that are far below their pixel's highest and own logit are left out, or rather counted as
exp(-80), since numbers that float32 can hardly hold make a processor a hundred times slower. With a
`cutoff` t of 24 log 2 + log C, all C of them are at most C exp(-t) = 2^-24 of the sum, float32's
rounding. Pixels whose odds are too small for that, or too large for float32, go the other way, by
their highest logit.

To leave out more pairs, all beyond the cutoff, does not pay on a CPU: to compare and to find those
that stay costs more than all of the rest (README of methods/essnet).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.ops.streaming_softmax import ClassChunks, Sums

_LARGEST = 2**20
"""Bytes of a table up to which three more of its size are worth their memory."""

_LOG2_E = math.log2(math.e)

_REGISTER = 16
"""Numbers in a processor's widest register: a product with as many columns takes half the time of
one with 13 (AVX2)."""

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


def _floor(dtype: torch.dtype) -> float:
    """Where logits end: -80 in float32, whose smallest number that is quick is exp(-87)."""
    return 0.92 * math.log(torch.finfo(dtype).tiny)


def has_odds(table: Tensor, metric: str, cutoff: float) -> bool:
    """Whether `OddsChunks` may be used: on a CPU, as it looks at what comes out."""
    fine = metric != "l2" and table.nbytes <= _LARGEST and table.dtype in _MOST
    return fine and table.device.type == "cpu" and _least_odds(table, cutoff) < 1


def _least_odds(table: Tensor, cutoff: float) -> float:
    """Odds that are `cutoff` above what is counted for a pair below the floor."""
    return math.exp(min(cutoff + _floor(table.dtype), 700.0))


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
        # (x, 1, -z_y) times these columns is z - z_y in powers of 2, which torch raises in half the
        # time on processors of AMD: there MKL, which it asks for exp, is slow.
        columns = torch.cat([table.T * self.slope, self._own[None], ones[None]])
        self._columns = columns.mul_(_LOG2_E)
        self._wide = F.pad(torch.cat([table, ones[:, None]], 1), (0, -(dim + 1) % _REGISTER))
        self._odds = (_least_odds(table, cutoff), _MOST[table.dtype])
        self._floor = _floor(table.dtype)
        # No pixel of length 1 has logits that are further apart than this.
        self._apart = 2 * self.slope * float(torch.linalg.vector_norm(table, dim=1).amax())
        self._offsets = float(self._own.amax() - self._own.amin())
        self._starts = torch.arange(self.step) * classes
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
        target = torch.bmm(features.unsqueeze(1), own.unsqueeze(2)).view(-1).mul_(self.slope)
        target += self._own.index_select(0, labels)
        x = torch.cat([features, torch.ones_like(target)[:, None], target.neg_()[:, None]], 1)
        products = x.new_empty(count, self._wide.shape[1] if self.gradients else 1)
        aside = self._add(x, labels, products)
        odds = self._odds_in(products)
        scale = None if self.weights is None else self.weights.index_select(0, labels)
        losses = odds.log1p() if scale is None else odds.log1p().mul_(scale)
        self.sums.loss.add_(losses.sum(dtype=torch.float64))
        if each is not None:
            each.copy_(losses)
        gradient = None
        if self.gradients:
            slope = self.slope / (1 + odds)
            slope = slope if scale is None else slope.mul_(scale)
            gradient = products[:, :dim].addcmul(odds[:, None], own, value=-1).mul_(slope[:, None])
        return gradient if aside is None else self._instead(aside, features, labels, gradient, each)

    def _add(self, x: Tensor, labels: Tensor, products: Tensor) -> Tensor | None:
        """Fills `products` with exp(z - z_y) times the classes, and the odds behind these.

        Returns:
            The pixels (k,) that were left out, whose products are 0; None for none.
        """
        longest = float(torch.linalg.vector_norm(x[:, :-2], dim=1).amax())
        within = -self._apart * longest - self._offsets > 1.02 * self._floor
        flat, aside, start = self._room.view(-1), [], 0
        parts = zip(x.split(self.step), labels.split(self.step), strict=True)
        for rows, y in parts:
            own, product = y + self._starts[: len(y)], products[start : start + len(y)]
            others = torch.mm(rows, self._columns, out=self._place(len(rows)))
            others = others if within else others.clamp_(min=self._floor * _LOG2_E)
            others.exp2_()
            flat.index_fill_(0, own, 0.0)  # not -inf before: exponentials of that are slow
            if self.gradients:
                torch.mm(others, self._wide, out=product)
            else:
                torch.sum(others, 1, keepdim=True, out=product)
            odds = self._odds_in(product)
            wrong = self._wrong(odds)
            if wrong is not None:
                others.index_fill_(0, wrong, 0.0)
                product.index_fill_(0, wrong, 0.0)
                odds.index_fill_(0, wrong, 0.0)
                aside.append(wrong + start)
            if self.gradients:
                flat.index_copy_(0, own, odds.neg())
                rest = 1 + odds
                if self.weights is not None:
                    rest /= self.weights.index_select(0, y)
                self._sums.addmm_((rows[:, :-1] / rest[:, None]).T.contiguous(), others)
            start += len(y)
        return torch.cat(aside) if aside else None

    def _odds_in(self, products: Tensor) -> Tensor:
        """(n,): the column behind those of the features, or the only one."""
        return products[:, self.table.shape[1] if self.gradients else 0].contiguous()

    def _wrong(self, odds: Tensor) -> Tensor | None:
        """Places of odds (n,) that are not within what they must be, nan among them."""
        least, most = self._odds
        lowest, highest = torch.aminmax(odds)
        if float(lowest) >= least and float(highest) <= most:
            return None
        return (~((odds >= least) & (odds <= most))).nonzero().squeeze(1)

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
