"""The exact loss on a GPU: one kernel goes through all classes for a few pixels at a time.

Two passes over the classes: the first finds the softmax's normaliser, as online softmax does, the
second its gradients, with logits made again rather than kept. Pixels' gradients are written once;
those of classes are added by atomics, so that their last digits depend on the order of the day.
The formulas are those of `ops.streaming_softmax`, whose torch code is this kernel's reference.
"""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from segsuite.core.labels import IGNORE
from segsuite.ops.class_weighting import label_weights
from segsuite.ops.streaming_softmax import Sums, sums_of


class TritonChunks:
    """As `ClassChunks`, with one launch for any number of pixels, ignored ones among them.

    Args:
        table: (C, d) float32, one row for each class.
        bias: (C,), added to the logits; for `dot` alone.
        metric: how logits are computed: `dot` or `sq`.
        weights: (C,), how much a pixel of each class counts; None where all count alike.
    """

    def __init__(
        self,
        table: Tensor,
        *,
        bias: Tensor | None,
        scale: float,
        metric: str,
        gradients: bool,
        weights: Tensor | None = None,
    ) -> None:
        self.weights = None if weights is None else weights.contiguous()
        self.table, self.metric, self.gradients = table.contiguous(), metric, gradients
        self.slope = 2 * scale if metric == "sq" else scale
        if metric == "sq":
            self.offset = -scale * table.square().sum(1)
        else:
            self.offset = table.new_zeros(len(table)) if bias is None else bias.contiguous()
        self.sums: Sums = sums_of(table, gradients=gradients)

    def add(self, features: Tensor, labels: Tensor, each: Tensor | None = None) -> Tensor | None:
        """The gradient (n, d) of the pixels' summed loss, which is added to the sums.

        Args:
            each: (n,), filled with the loss of each pixel.

        Shapes: features (n, d), labels (n,) in 0 .. C - 1, or IGNORE; others make the loss nan
        """
        x, count = features.contiguous(), len(features)
        margin = x.new_empty(count)
        gradient = torch.empty_like(x) if self.gradients else x
        width = max(triton.next_power_of_2(x.shape[1]), 16)
        pixels, classes, warps = _blocks(width)
        with torch.cuda.device_of(x):  # Triton launches on the current GPU, wherever tensors are
            _kernel[(triton.cdiv(count, pixels),)](
                *(x, self.table, self.offset, labels.contiguous(), margin),
                self.table if self.weights is None else self.weights,
                *(gradient, self.sums.table, self.sums.classes),
                *(count, len(self.table), x.shape[1], self.slope),
                GRADIENTS=self.gradients,
                WEIGHTED=self.weights is not None,
                PIXELS=pixels,
                CLASSES=classes,
                WIDTH=width,
                num_warps=warps,
            )
        losses = F.softplus(margin).masked_fill_(labels == IGNORE, 0.0)
        if self.weights is not None:
            losses *= label_weights(labels.clamp(max=len(self.table) - 1), self.weights)
        if each is not None:
            each.copy_(losses)
        self.sums.loss.add_(losses.sum(dtype=torch.float64))
        return gradient if self.gradients else None


def _blocks(width: int) -> tuple[int, int, int]:
    """Pixels and classes that meet at once, and warps, for features padded to `width`.

    As many as fit an H100's registers: read off the machine code, since more of them spill to
    memory, which doubles the instructions.
    """
    if width <= 16:
        return 64, 64, 4
    if width <= 32:
        return 64, 32, 4
    return (32, 32, 8) if width <= 64 else (16, 32, 8)


@triton.jit
def _logits(
    x, table_ptr, offset_ptr, y, start, classes, dim, slope,
    CLASSES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """A block of classes, its logits (pixels, CLASSES), and where the own class is."""
    columns = start + tl.arange(0, CLASSES)
    there = columns < classes
    dims = tl.arange(0, WIDTH)
    inside = there[:, None] & (dims < dim)[None, :]
    # 64-bit places: 100,000 classes of 512 numbers fit 32 bits, their products with pixels do not.
    places = columns.to(tl.int64)[:, None] * dim + dims[None, :]
    vectors = tl.load(table_ptr + places, mask=inside, other=0.0)
    offset = tl.load(offset_ptr + columns, mask=there, other=-float("inf"))
    # Not in TF32: at a temperature of 0.05 its rounding would be multiplied by 40.
    z = tl.dot(x, tl.trans(vectors), input_precision="ieee") * slope + offset[None, :]
    return z, vectors, columns, places, inside, columns[None, :] == y[:, None]


@triton.jit
def _kernel(
    x_ptr, table_ptr, offset_ptr, labels_ptr, margin_ptr, weights_ptr,
    gx_ptr, gtable_ptr, gclasses_ptr,
    count, classes, dim, slope,
    GRADIENTS: tl.constexpr, WEIGHTED: tl.constexpr,
    PIXELS: tl.constexpr, CLASSES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    dims = tl.arange(0, WIDTH)
    seen = rows < count
    inside = seen[:, None] & (dims < dim)[None, :]
    places = rows.to(tl.int64)[:, None] * dim + dims[None, :]
    y = tl.load(labels_ptr + rows, mask=seen, other=-1)
    x = tl.load(x_ptr + places, mask=inside, other=0.0)

    high = tl.full([PIXELS], -float("inf"), tl.float32)
    total = tl.zeros([PIXELS], tl.float32)
    target = tl.zeros([PIXELS], tl.float32)
    for start in range(0, classes, CLASSES):
        z, _, _, _, _, own = _logits(
            x, table_ptr, offset_ptr, y, start, classes, dim, slope, CLASSES, WIDTH
        )
        target += tl.sum(tl.where(own, z, 0.0), 1)
        z = tl.where(own, -float("inf"), z)
        higher = tl.maximum(high, tl.max(z, 1))
        total = total * tl.exp(high - higher) + tl.sum(tl.exp(z - higher[:, None]), 1)
        high = higher
    # Whoever calls this checks labels; one that slips through makes all of it nan.
    wrong = (y >= classes) | (y < -1)
    margin = tl.where(wrong, float("nan"), high + tl.log(total) - target)
    tl.store(margin_ptr + rows, margin, mask=seen)

    if GRADIENTS:
        weight = tl.where(y != -1, 1.0 / (1.0 + tl.exp(-margin)), 0.0)
        if WEIGHTED:
            weight *= tl.load(weights_ptr + y, mask=(y >= 0) & (y < classes), other=0.0)
        weighted = x * weight[:, None]
        gx = tl.zeros([PIXELS, WIDTH], tl.float32)
        for start in range(0, classes, CLASSES):
            z, vectors, columns, cells, known, own = _logits(
                x, table_ptr, offset_ptr, y, start, classes, dim, slope, CLASSES, WIDTH
            )
            others = tl.where(own, -1.0, tl.exp(z - high[:, None]) / total[:, None])
            gx += tl.dot(others, vectors, input_precision="ieee")
            gtable = tl.dot(tl.trans(others), weighted, input_precision="ieee")
            tl.atomic_add(gtable_ptr + cells, gtable, mask=known, sem="relaxed")
            gclasses = tl.sum(others * weight[:, None], 0)
            tl.atomic_add(gclasses_ptr + columns, gclasses, mask=columns < classes, sem="relaxed")
        tl.store(gx_ptr + places, gx * (weight * slope)[:, None], mask=inside)
