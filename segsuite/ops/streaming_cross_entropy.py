"""Exact softmax cross-entropy whose memory does not grow with the number of classes."""

import importlib.util
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.ops.class_weighting import counted
from segsuite.ops.precision import full
from segsuite.ops.streaming_odds import OddsChunks, cutoff_for, has_odds
from segsuite.ops.streaming_softmax import ClassChunks

if TYPE_CHECKING:
    from segsuite.ops.streaming_triton import TritonChunks

_BUDGET = {"cpu": 2**18}
"""Logits held at once: 1 MB in float32, which stays in a CPU's cache."""

_BUDGET_ELSEWHERE = 2**24
"""64 MB: fewer and larger steps, each of which a GPU has to be told of."""

_BUDGET_OF_ODDS = 2**19
"""2 MB: with fewer passes over the logits, fewer and larger steps are faster."""

METRICS = ("dot", "sq", "l2")

_WIDEST = 256
"""Numbers per pixel up to which Triton's kernel keeps a block of pixels in registers."""

_BLOCK = 2**16
"""Numbers of labelled pixels' features copied at once."""


def streaming_cross_entropy(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    metric: str = "dot",
    budget: int | None = None,
    kernel: str = "auto",
    weights: Tensor | None = None,
    cutoff: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The summed loss of all labelled pixels, a scalar, and their number, an int64 scalar.

    -log softmax(logits)[label] over all classes, where the logit of class c is

        dot: scale x.e_c + bias_c      sq: -scale |x - e_c|^2      l2: -scale |x - e_c|

    sq is equation 5 of ESSNet (Jain et al., ICCV 2021), l2 what its code does. Gradients are
    computed along with the loss, so that the graph keeps (N, d) + (C, d) numbers and no logits; the
    backward scales them in place and works once. Without a labelled pixel all of these are 0.
    Everything is done in float32, or in float64 where features are.

    Args:
        budget: number of logits that torch holds at once, one pixel's at least; None for 2^19
            on a CPU, 2^18 there without a cutoff, and 2^24 on a GPU.
        kernel: what computes the loss: `torch`, `triton` (float32 on a GPU, in one launch), or
            `auto`, which takes Triton where it can, unless torch is to be deterministic.
        weights: weights of the classes: a pixel's loss is multiplied by that of its label, and in
            place of the number of pixels comes the sum of their weights, so that the quotient is
            the mean of F.cross_entropy(weight=).
        cutoff: how far below a pixel's highest and own logit a pair may be left out, see
            `ops.streaming_odds`; None for the smallest that changes nothing in float32, infinity
            for none to be.

    Shapes: features (N, d), table (C, d), labels (N,) int64 with IGNORE, bias and weights (C,)

    Raises:
        ConfigError: a metric or kernel that is not there, a bias where there is none, one class,
            another number of weights than of classes, a cutoff that changes what comes out.
        IndexError, RuntimeError, TypeError: labels that no class has, as `check_labels` says.
    """
    check(table, bias=bias, metric=metric, weights=weights)
    x, e, b = full(features), full(table), None if bias is None else full(bias)
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, e, b))
    how, budget, cutoff = settled(x, e, metric, kernel, budget, cutoff)
    with torch.autocast(features.device.type, enabled=False):
        total, *_ = _flat(x, e, labels, b, scale, metric, budget, how, cutoff, wanted, weights)
    return total, counted(labels, weights)


def check(table: Tensor, *, bias: Tensor | None, metric: str, weights: Tensor | None) -> None:
    """Raises ConfigError for what no kernel can do."""
    if weights is not None and weights.shape != table.shape[:1]:
        raise ConfigError(
            f"there are {len(weights)} weights of classes, but {len(table)} classes in the table"
        )
    if metric not in METRICS:
        raise ConfigError(f"metric={metric!r} is not known; choose one of {', '.join(METRICS)}")
    if bias is not None and metric != "dot":
        raise ConfigError(f"metric={metric} has no bias: classes are points; use metric=dot")
    if table.shape[0] < 2:
        raise ConfigError(f"a softmax needs two classes or more, but the table has {len(table)}")


def chosen(kernel: str, features: Tensor, table: Tensor, metric: str) -> str:
    """`torch` or `triton`; raises ConfigError for what cannot run here."""
    if kernel not in ("auto", "torch", "triton"):
        raise ConfigError(f"kernel={kernel!r} is not known; choose auto, torch or triton")
    if kernel == "torch":
        return "torch"
    hindrance = _hindrance(features, table, metric)
    if kernel == "triton" and hindrance is not None:
        raise ConfigError(f"kernel=triton cannot run: {hindrance}; type method.loss.kernel=torch")
    exact = kernel == "auto" and torch.are_deterministic_algorithms_enabled()
    return "torch" if exact or hindrance is not None else "triton"


def _hindrance(features: Tensor, table: Tensor, metric: str) -> str | None:
    """What keeps Triton's kernel from running."""
    if metric == "l2":
        return "it knows no distances that are not squared (metric=l2)"
    if features.dtype != torch.float32 or table.dtype != torch.float32:
        return f"it works in float32, not {features.dtype}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if not features.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"it needs a GPU, and the features are on {features.device}"
    if table.shape[1] > _WIDEST:
        return f"it takes features of up to {_WIDEST} numbers, these have {table.shape[1]}"
    return None


def settled(
    features: Tensor,
    table: Tensor,
    metric: str,
    kernel: str,
    budget: int | None,
    cutoff: float | None,
) -> tuple[str, int, float]:
    """The kernel, budget and cutoff asked for, or those that suit.

    Raises:
        ConfigError: one of them cannot be.
    """
    how, cutoff = chosen(kernel, features, table, metric), cutoff_for(cutoff, len(table))
    if budget is None:
        budget = _BUDGET.get(features.device.type, _BUDGET_ELSEWHERE)
        if how == "torch" and has_odds(table, metric, cutoff):
            budget = _BUDGET_OF_ODDS
    if budget < 1:
        raise ConfigError(
            f"method.loss.budget={budget} holds no logit; set it to at least 1, or to null for "
            "what suits the device"
        )
    return how, budget, cutoff


def check_labels(labels: Tensor, classes: int) -> None:
    """Ends what would learn from labels that no class has, before they are used as places.

    Raises:
        IndexError: naming such a label.
        RuntimeError: on a GPU, which is not waited for: at the next thing that waits, with the
            message on stderr.
        TypeError: labels are not int64.
    """
    if labels.dtype != torch.int64:
        raise TypeError(f"labels are {labels.dtype}, expected torch.int64; call labels.long()")
    if not labels.numel():
        return
    advice = "do data.classes and the masks belong together?"
    if labels.is_cuda:
        fine = ((labels >= IGNORE) & (labels < classes)).all()
        torch._assert_async(fine, f"a label is not in {IGNORE} .. {classes - 1}; {advice}")
        return
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < IGNORE:
        raise IndexError(f"label {lowest} is below {IGNORE}, that of ignored pixels")
    if highest >= classes:
        raise IndexError(f"label {highest} is not below the number of classes, {classes}; {advice}")


@torch.library.custom_op("segsuite::streaming_cross_entropy", mutates_args=())
def _flat(
    features: Tensor,
    table: Tensor,
    labels: Tensor,
    bias: Tensor | None,
    scale: float,
    metric: str,
    budget: int,
    kernel: str,
    cutoff: float,
    gradients: bool,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by features, table and bias; these empty where not wanted."""
    check_labels(labels, table.shape[0])
    chunks = class_chunks(table, bias, scale, metric, budget, kernel, cutoff, gradients, weights)
    if kernel == "triton":
        gradient = chunks.add(features, labels)
        return results(chunks, gradient, bias)
    gradient = (
        torch.zeros_like(features, memory_format=torch.contiguous_format) if gradients else None
    )
    block = max(_BLOCK // features.shape[1], 1)
    for start in range(0, len(labels), block):
        near = labels[start : start + block]
        x, rows = features[start : start + block], (near != IGNORE).nonzero().squeeze(1)
        if len(rows) == len(near):
            part = chunks.add(x.contiguous(), near)
        else:
            part = chunks.add(x.index_select(0, rows), near.index_select(0, rows))
        if gradient is None or part is None:
            continue
        if len(rows) == len(near):
            gradient[start : start + block] = part
        else:
            gradient[start : start + block].index_copy_(0, rows, part)
    return results(chunks, gradient, bias)


def class_chunks(
    table: Tensor,
    bias: Tensor | None,
    scale: float,
    metric: str,
    budget: int,
    kernel: str,
    cutoff: float,
    gradients: bool,
    weights: Tensor | None = None,
) -> "ClassChunks | TritonChunks":
    """What goes through the classes, by the kernel that was chosen."""
    how = {"bias": bias, "scale": scale, "metric": metric, "gradients": gradients}
    how["weights"] = None if weights is None else weights.to(table.dtype)
    if kernel == "triton":
        from segsuite.ops.streaming_triton import TritonChunks

        return TritonChunks(table, **how)
    if has_odds(table, metric, cutoff):
        return OddsChunks(table, budget=budget, cutoff=cutoff, **how)
    return ClassChunks(table, budget=budget, **how)


def results(
    chunks: "ClassChunks | TritonChunks", found: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by features, table and bias; empty where there are none."""
    table = chunks.table
    total = chunks.sums.loss.to(table.dtype)
    if found is None:
        return total, table.new_empty(0), table.new_empty(0), table.new_empty(0)
    of_bias = table.new_empty(0) if bias is None else chunks.sums.of_gradients()[1].clone()
    of_table = chunks.sums.table_gradient(table, chunks.metric, chunks.slope)
    return total, found, of_table, of_bias


@_flat.register_fake
def _(features, table, labels, bias, scale, metric, budget, kernel, cutoff, gradients, weights):
    return fake_outputs(features, table, bias, gradients)


def fake_outputs(
    features: Tensor, table: Tensor, bias: Tensor | None, gradients: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tensors shaped as the loss and its gradients, for torch.compile."""
    empty = table.new_empty(0)
    if not gradients:
        return table.new_empty(()), empty, empty.clone(), empty.clone()
    of_bias = empty if bias is None else torch.empty_like(bias)
    contiguous = torch.contiguous_format
    return (
        table.new_empty(()),
        torch.empty_like(features, memory_format=contiguous),
        torch.empty_like(table, memory_format=contiguous),
        of_bias,
    )


def keep_gradients(ctx, inputs, output) -> None:
    """Saves what the forward found; these outputs are nobody's to differentiate."""
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*output[1:])
    ctx.has_bias = inputs[3] is not None


def scaled_gradients(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """What was saved times the incoming gradient, in place: torch refuses a second backward."""
    saved = ctx.saved_tensors
    for tensor in saved:
        tensor.mul_(gradient.to(tensor.dtype))
    return saved[0], saved[1], saved[2] if ctx.has_bias else None


def _backward(ctx, gradient, *_):
    features, table, bias = scaled_gradients(ctx, gradient)
    return features, table, None, bias, *[None] * 7


_flat.register_autograd(_backward, setup_context=keep_gradients)
