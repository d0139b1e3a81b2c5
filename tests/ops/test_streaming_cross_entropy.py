"""The streaming loss is the dense one, to the last digits, in memory that does not grow."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.ops.streaming_cross_entropy import streaming_cross_entropy
from segsuite.ops.streaming_upsampled import sampled, upsampled_cross_entropy
from tests.own_process import on_linux, peak_of
from tests.reference.cross_entropy import (
    dense_cross_entropy,
    dense_logits,
    gradients,
    upsampled_dense_cross_entropy,
)

METRICS = ("dot", "sq", "l2")


def inputs(classes, pixels, dim, *, metric, dtype=torch.float64, unit=False):
    torch.manual_seed(classes + pixels + dim)
    x, e = torch.randn(pixels, dim, dtype=dtype), torch.randn(classes, dim, dtype=dtype)
    if unit:
        x, e = F.normalize(x, dim=1), F.normalize(e, dim=1)
    b = torch.randn(classes, dtype=dtype).requires_grad_() if metric == "dot" else None
    y = torch.randint(classes, (pixels,))
    y[::5] = -1
    return x.requires_grad_(), e.requires_grad_(), b, y


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("classes", "pixels", "dim"), [(19, 301, 7), (150, 77, 12), (1284, 64, 12)]
)
def test_loss_and_gradients_are_the_dense_ones(classes, pixels, dim, metric):
    x, e, b, y = inputs(classes, pixels, dim, metric=metric)
    total, count = streaming_cross_entropy(x, e, y, bias=b, scale=3.0, metric=metric)
    dense = dense_cross_entropy(x, e, y, bias=b, scale=3.0, metric=metric)
    assert count == (y >= 0).sum() and 0 < count < pixels
    assert (total - dense).abs() / dense < 1e-12
    found, wanted = gradients(total / count, [x, e, b]), gradients(dense / count, [x, e, b])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_weights_are_those_of_cross_entropy(metric):
    """torch's F.cross_entropy(weight=) of all logits, and its gradients."""
    x, e, b, y = inputs(23, 301, 7, metric=metric)
    weights = torch.linspace(0, 5, 23, dtype=torch.float64)
    total, count = streaming_cross_entropy(x, e, y, bias=b, metric=metric, weights=weights)
    dense = F.cross_entropy(dense_logits(x, e, bias=b, metric=metric), y, weights, ignore_index=-1)
    torch.testing.assert_close(count, weights[y[y >= 0]].sum())
    torch.testing.assert_close(total / count, dense, rtol=1e-12, atol=0)
    found, wanted = gradients(total / count, [x, e, b]), gradients(dense, [x, e, b])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    with pytest.raises(ConfigError, match="there are 22 weights of classes, but 23 classes"):
        streaming_cross_entropy(x, e, y, bias=b, metric=metric, weights=weights[1:])


@pytest.mark.parametrize(("metric", "dim"), [("dot", 64), ("sq", 12)])
def test_ten_thousand_classes(metric, dim):
    x, e, b, y = inputs(10_000, 65, dim, metric=metric)
    total, count = streaming_cross_entropy(x, e, y, bias=b, metric=metric)
    dense = dense_cross_entropy(x, e, y, bias=b, metric=metric)
    assert (total - dense).abs() / dense < 1e-12
    pairs = zip(gradients(total, [x, e, b]), gradients(dense, [x, e, b]), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours / count, theirs / count, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_all_ignored_is_zero_with_zero_gradients(metric):
    x, e, b, y = inputs(19, 33, 7, metric=metric)
    total, count = streaming_cross_entropy(x, e, torch.full_like(y, -1), bias=b, metric=metric)
    assert total == 0 and count == 0
    assert all((g == 0).all() for g in gradients(total, [x, e, b]))


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_are_those_of_finite_differences(metric):
    x, e, b, y = inputs(5, 6, 3, metric=metric)
    tensors = [t for t in (x, e, b) if t is not None]

    def loss(x, e, b=None):
        return streaming_cross_entropy(x, e, y, bias=b, metric=metric)[0]

    # One-shot gradients cannot be asked for row by row of a Jacobian, so by hand.
    found = gradients(loss(*tensors), tensors)
    for tensor, gradient in zip(tensors, found, strict=True):
        direction = torch.randn_like(tensor)
        step = 1e-6 * direction
        ends = [
            loss(*[t.detach() + s * step if t is tensor else t.detach() for t in tensors])
            for s in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / 2e-6
        torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("metric", ["dot", "sq"])
def test_budget_does_not_matter(metric):
    x, e, b, y = inputs(150, 200, 12, metric=metric, dtype=torch.float32)
    results = []
    for budget in (1, 150 * 7, 2**20):
        total, _ = streaming_cross_entropy(x, e, y, bias=b, metric=metric, budget=budget)
        results.append([total, *gradients(total, [x, e, b])])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_order_of_pixels_and_classes_does_not_matter():
    x, e, _, y = inputs(19, 50, 7, metric="sq")
    pixels, classes = torch.randperm(50), torch.randperm(19)
    renamed = torch.where(y < 0, y, classes.argsort()[y.clamp(min=0)])
    here = streaming_cross_entropy(x, e, y, metric="sq")[0]
    there = streaming_cross_entropy(x[pixels], e[classes], renamed[pixels], metric="sq")[0]
    torch.testing.assert_close(here, there, rtol=1e-13, atol=0)


def relative_errors(x, e, y, scale):
    """Gradient errors against float64, ours and F.cross_entropy's, both in float32."""
    exact = dense_cross_entropy(x.double(), e.double(), y, scale=scale, metric="dot")
    exact = gradients(exact, [x, e])
    ours = gradients(streaming_cross_entropy(x, e, y, scale=scale)[0], [x, e])
    dense = gradients(dense_cross_entropy(x, e, y, scale=scale), [x, e])
    return [
        [((f - w).norm() / w.norm()).item() for f, w in zip(found, exact, strict=True)]
        for found in (ours, dense)
    ]


@pytest.mark.parametrize("classes", [19, 1284])
def test_float32_is_no_worse_than_dense(classes):
    x, e, _, y = inputs(classes, 500, 12, metric="sq", dtype=torch.float32, unit=True)
    ours, dense = relative_errors(x, e, y, 20.0)
    assert all(a <= 3 * b for a, b in zip(ours, dense, strict=True)), (ours, dense)


def test_confident_pixels_keep_their_digits_in_float32():
    torch.manual_seed(0)
    e = F.normalize(torch.randn(10_000, 64), dim=1).requires_grad_()
    y = torch.randint(10_000, (64,))
    x = e.detach()[y].requires_grad_()  # exactly on its class: loss about 1e-7
    ours, dense = relative_errors(x, e, y, 30.0)
    assert ours[0] < 1e-4 and ours[0] < dense[0] / 10, (ours, dense)


def test_labels_out_of_range_are_named():
    x, e, _, y = inputs(19, 20, 7, metric="sq")
    y[3] = 19
    with pytest.raises(IndexError, match="label 19 is not below the number of classes, 19"):
        streaming_cross_entropy(x, e, y, metric="sq")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"metric": "cosine"}, "choose one of dot, sq, l2"),
        ({"metric": "sq", "bias": torch.zeros(19)}, "has no bias"),
        ({"kernel": "cuda"}, "choose auto, torch or triton"),
        ({"budget": 0}, r"method\.loss\.budget=0 .* at least 1"),
    ],
)
def test_what_cannot_be_is_refused(how, message):
    x, e, _, y = inputs(19, 20, 7, metric="sq")
    with pytest.raises(ConfigError, match=message):
        streaming_cross_entropy(x, e, y, **how)


def test_a_second_backward_is_refused_and_labels_stay():
    x, e, _, y = inputs(19, 20, 7, metric="sq")
    before = y.clone()
    total, _ = streaming_cross_entropy(x, e, y, metric="sq")
    total.backward(retain_graph=True)
    assert torch.equal(y, before)
    with pytest.raises(RuntimeError, match=r"in-?place"):
        total.backward()


def test_compiles_without_a_break():
    x, e, b, y = inputs(150, 40, 12, metric="dot")

    def loss(x, e, b):
        total, count = streaming_cross_entropy(x, e, y, bias=b)
        return total / count

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found, wanted = gradients(compiled(x, e, b), [x, e, b]), gradients(loss(x, e, b), [x, e, b])
    assert all(torch.equal(f, w) for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("normalize_after", [False, True])
@pytest.mark.parametrize(
    ("dim", "coarse", "fine"),
    [(7, (5, 6), (17, 23)), (40, (9, 7), (33, 26)), (40, (12, 11), (12, 9)), (3, (1, 1), (4, 5))],
)
def test_upsampling_in_parts_is_upsampling_at_once(metric, normalize_after, dim, coarse, fine):
    torch.manual_seed(0)
    x = torch.randn(2, dim, *coarse, dtype=torch.float64).requires_grad_()
    e = torch.randn(31, dim, dtype=torch.float64).requires_grad_()
    b = torch.randn(31, dtype=torch.float64).requires_grad_() if metric == "dot" else None
    y = torch.randint(-1, 31, (2, *fine))
    y[0, :3] = -1
    how = {"bias": b, "scale": 0.5, "metric": metric, "normalize_after": normalize_after}
    total, count = upsampled_cross_entropy(x, e, y, budget=31 * 50, **how)
    dense = upsampled_dense_cross_entropy(x, e, y, **how)
    assert count == (y >= 0).sum()
    assert (total - dense).abs() / dense < 1e-12
    pairs = zip(gradients(total, [x, e, b]), gradients(dense, [x, e, b]), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_upsampling_logits_is_upsampling_features():
    torch.manual_seed(0)
    x, e = torch.randn(1, 12, 6, 5, dtype=torch.float64), torch.randn(19, 12, dtype=torch.float64)
    logits = dense_logits(x.permute(0, 2, 3, 1).reshape(-1, 12), e, scale=20.0, metric="sq")
    # Affine up to the term in x alone, which no softmax sees.
    logits = (logits + 20 * x.square().sum(1).reshape(-1, 1)).T.reshape(1, 19, 6, 5)
    y = torch.randint(19, (1, 24, 20))
    fine = F.interpolate(logits, size=(24, 20), mode="bilinear", align_corners=False)
    dense = F.cross_entropy(fine, y, reduction="sum")
    total, _ = upsampled_cross_entropy(x, e, y, scale=20.0, metric="sq")
    torch.testing.assert_close(total, dense, rtol=1e-13, atol=0)


def test_a_sample_is_of_labelled_pixels():
    torch.manual_seed(0)
    y = torch.randint(-1, 5, (2, 30, 31))
    drawn = sampled(y, 100)
    assert (drawn >= 0).sum() == 100
    assert torch.equal(drawn[drawn >= 0], y[drawn >= 0])
    assert torch.equal(sampled(y, 10**6), y)
    assert not torch.equal(sampled(y, 100), drawn)


LOSS = """
from segsuite.ops.streaming_cross_entropy import streaming_cross_entropy
def dense(x, e, y):
    logits = F.linear(x, 40 * e, -20 * e.square().sum(1))
    return F.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
def exact(x, e, y):
    return streaming_cross_entropy(x, e, y, scale=20.0, metric="sq")[0]
def made(pixels):
    x = F.normalize(torch.randn(pixels, 12), dim=1).requires_grad_()
    e = F.normalize(torch.randn({classes}, 12), dim=1).requires_grad_()
    return x, e, torch.randint(-1, {classes}, (pixels,))
{kind}(*made(16)).backward()
held = made({pixels})
"""


def peak(classes, pixels, kind):
    before = LOSS.format(classes=classes, pixels=pixels, kind=kind)
    return peak_of(f"{kind}(*held).backward()", before=before)


@on_linux
@pytest.mark.parametrize(("classes", "pixels"), [(1284, 65_536), (100_000, 1024)])
def test_memory_is_that_of_the_gradients(classes, pixels):
    """The issue's bound: N d 4 bytes + 8 MB, for any number of classes."""
    assert peak(classes, pixels, "exact") <= pixels * 12 * 4 + 8 * 2**20


@on_linux
def test_the_measurement_sees_dense_memory():
    assert peak(1284, 8192, "dense") > 3 * 8192 * 1284 * 4 * 0.9
