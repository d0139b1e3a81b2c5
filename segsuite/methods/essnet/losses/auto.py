"""The exact loss by the way that is fastest: all logits, chunks of them, or torch's own op."""

from typing import Literal

from lightning import Callback
from torch import Tensor

from segsuite.methods.essnet.callbacks import SayWay
from segsuite.methods.essnet.losses.dense import all_scores
from segsuite.methods.essnet.losses.exact import ExactLoss
from segsuite.methods.essnet.losses.torch import summed_by_torch
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.nn.dense_losses import summed_cross_entropy
from segsuite.ops.precision import full
from segsuite.ops.streaming_cross_entropy import check, settled
from segsuite.ops.torch_cross_entropy import torch_has_it

Way = Literal["dense", "exact", "torch"]

_MOST = 2**30
"""Bytes that all logits may take: a number, since free memory would make trainings differ."""

_FEW = ((0, 15), (32, 40), (128, 64))
"""From how many numbers per pixel on, up to how many classes all logits are faster (one thread of
an Intel Xeon with AVX-512, two crops of 256x256 at stride 4; README)."""

_FEW_ALIKE = 27
"""The same where nothing is upsampled, 12 numbers."""

_WIDE = 128
"""Numbers per pixel from which torch's op is faster where nothing is upsampled (the same)."""


class AutoLoss(ExactLoss):
    """Cross-entropy over all classes; which way is said once in a training.

    All ways give the same loss up to rounding, and none takes more than 1 GB for logits.

    Args:
        budget: number of logits held at once; None for what suits the device.
        kernel: kernel of the loss, see `ops.streaming_cross_entropy`.
        cutoff: see `ops.streaming_odds`; None for the smallest that changes nothing in float32.
    """

    def callbacks(self) -> list[Callback]:
        """Of a training."""
        return [SayWay(lambda *seen: "method/loss=auto takes {}: {}".format(*chosen_way(*seen)))]

    def summed(self, output: EssnetOutput, labels: Tensor) -> tuple[Tensor, Tensor]:
        features, table = full(output.features), full(output.table)
        check(table, bias=output.bias, metric=output.metric, weights=self.weights(output))
        settled(features, table, output.metric, self.kernel, self.budget, self.cutoff)
        way, _ = chosen_way(output, labels)
        if way == "dense":
            scores = all_scores(output, labels)
            return summed_cross_entropy(scores, labels, self.weights(output), self.hard)
        if way == "torch":
            return summed_by_torch(output, labels, self.weights(output), self.hard)
        return super().summed(output, labels)


def chosen_way(output: EssnetOutput, labels: Tensor) -> tuple[Way, str]:
    """The fastest way for these shapes, and why."""
    (classes, dim), pixels = output.table.shape, labels.numel()
    what = f"{classes} classes of {dim} numbers"
    if labels.device.type != "cpu":
        return "exact", f"on {labels.device.type} nothing else was measured"
    alike = labels.shape[1:] == output.features.shape[2:]
    few = max(most for width, most in _FEW if dim >= width)
    few = max(few, _FEW_ALIKE) if alike else few
    megabytes = 4 * 4 * pixels * classes / 2**20
    if classes <= few and not output.normalize_after:
        if megabytes * 2**20 <= _MOST:
            return "dense", f"{what}, all logits of which are {megabytes:.0f} MB"
        return "exact", f"{what}, all logits of which would be {megabytes:.0f} MB"
    if alike and dim >= _WIDE and output.metric != "l2" and torch_has_it():
        return "torch", f"{what} at full resolution already"
    return "exact", f"{what}, in chunks"
