"""The exact loss by odds is the one by the highest logit, with no pair missed that counts."""

import math

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.ops.kept_pairs import share_kept
from segsuite.ops.streaming_cross_entropy import class_chunks, streaming_cross_entropy
from segsuite.ops.streaming_odds import OddsChunks, has_odds, smallest_cutoff
from segsuite.ops.streaming_softmax import ClassChunks
from segsuite.ops.streaming_upsampled import upsampled_cross_entropy, upsampled_losses
from segsuite.ops.torch_cross_entropy import torch_cross_entropy, torch_has_it
from tests.own_process import on_linux, peak_of
from tests.reference.cross_entropy import dense_cross_entropy, gradients


def learnt(classes, pixels, noise, *, dim=12, dtype=torch.float64):
    """Classes on the unit sphere, and pixels there that are `noise` beside their own."""
    random = torch.Generator().manual_seed(classes)
    e = F.normalize(torch.randn(classes, dim, generator=random, dtype=dtype), dim=1)
    y = torch.randint(classes, (pixels,), generator=random)
    x = F.normalize(e[y] + noise * torch.randn(pixels, dim, generator=random, dtype=dtype), dim=1)
    return x.requires_grad_(), e.requires_grad_(), y


def found(x, e, y, **how):
    how = {"scale": 20.0, "metric": "sq", **how}
    total = streaming_cross_entropy(x, e, y, **how)[0]
    return [total.detach(), *gradients(total, [x, e])]


def errors(ours, theirs):
    return [
        float((a.double() - b.double()).norm() / b.double().norm())
        for a, b in zip(ours, theirs, strict=True)
    ]


@pytest.mark.parametrize("noise", [10.0, 0.35, 0.1])
@pytest.mark.parametrize("classes", [19, 150, 1284, 10_000])
def test_the_proven_cutoff_is_the_full_sum(classes, noise):
    x, e, y = learnt(classes, 64, noise)
    assert max(errors(found(x, e, y), found(x, e, y, cutoff=math.inf))) < 1e-12
    single = [t.detach().float().requires_grad_() for t in (x, e)]
    full = found(x, e, y, cutoff=math.inf)
    ours, before = found(*single, y), found(*single, y, cutoff=math.inf)
    for mine, theirs in zip(errors(ours, full), errors(before, full), strict=True):
        assert mine < max(2 * theirs, 6e-6), "logits of 40 are rounded by 5e-6"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("length", "scale"), [(1.0, 400.0), (8.0, 20.0)], ids=["confident", "far from all"]
)
def test_pixels_beyond_float32_go_by_their_highest_logit(monkeypatch, length, scale, weighted):
    """Odds of 1e-60 and of 1e90: there, both ways are the same bits or the same numbers."""
    x, e, y = learnt(23, 200, 0.1 if length == 1 else 10.0, dtype=torch.float32)
    x = (length * x.detach()).requires_grad_()
    aside = []
    instead = OddsChunks._instead
    monkeypatch.setattr(
        OddsChunks, "_instead", lambda self, rows, *a: aside.append(rows) or instead(self, rows, *a)
    )
    weights = torch.linspace(0.5, 2, 23) if weighted else None
    ours = found(x, e, y, scale=scale, weights=weights)
    assert aside and len(aside[0]) > 20
    theirs = found(x, e, y, scale=scale, weights=weights, cutoff=math.inf)
    assert all(t.isfinite().all() for t in ours)
    assert max(errors(ours, theirs)) < 1e-5
    map_of = x.detach().T.reshape(1, 12, 10, 20)
    how = {"scale": scale, "metric": "sq"}
    each = upsampled_losses(map_of, e, y.view(1, 10, 20), **how)
    before = upsampled_losses(map_of, e, y.view(1, 10, 20), **how, cutoff=math.inf)
    torch.testing.assert_close(each, before, rtol=1e-4, atol=0)


def test_infinity_is_the_way_of_before():
    e = torch.randn(150, 12)
    how = (e, None, 20.0, "sq", 2**18, "torch")
    assert type(class_chunks(*how, math.inf, True)) is ClassChunks
    assert type(class_chunks(*how, smallest_cutoff(150), True)) is OddsChunks
    assert not has_odds(torch.empty(100_000, 12), "sq", 30.0), "its copies would take memory"
    assert not has_odds(e, "l2", 30.0)


def test_a_cutoff_below_the_proven_one_is_refused():
    x, e, y = learnt(1284, 8, 1.0)
    bound = r"24 log 2 \+ log 1284 = 23\.79; type method\.loss\.cutoff=null .*cutoff=24 or more"
    for cutoff in (17.0, math.nan):
        with pytest.raises(ConfigError, match=bound):
            found(x, e, y, cutoff=cutoff)
    assert max(errors(found(x, e, y, cutoff=24), found(x, e, y))) < 1e-12


@pytest.mark.parametrize("labelled", ["none", "one", "most"])
def test_features_at_full_resolution_are_not_upsampled(labelled):
    x, e, y = learnt(23, 60, 0.5)
    x = x.detach().T.reshape(1, 12, 6, 10).contiguous().requires_grad_()
    y = y.view(1, 6, 10)
    kept = {"none": y < 0, "one": torch.arange(60).view_as(y) == 7, "most": y > 2}[labelled]
    y = torch.where(kept, y, -1)
    total, count = upsampled_cross_entropy(x, e, y, scale=20.0, metric="sq")
    flat = x.flatten(2)[0].T
    dense = dense_cross_entropy(flat, e, y.flatten(), scale=20.0, metric="sq")
    assert count == kept.sum()
    torch.testing.assert_close(total, dense, rtol=1e-12, atol=0)
    pairs = zip(gradients(total, [x, e]), gradients(dense, [x, e]), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.skipif(not torch_has_it(), reason="this torch has no chunked op")
@pytest.mark.parametrize("pixels", [0, 1, 77])
@pytest.mark.parametrize("metric", ["dot", "sq"])
def test_torchs_op_is_the_same(metric, pixels):
    x, e, y = learnt(23, pixels, 0.5)
    y[::4] = -1 if pixels > 1 else y[::4]
    b = torch.linspace(-1, 1, 23, dtype=torch.float64).requires_grad_() if metric == "dot" else None
    weights = torch.linspace(0.5, 2, 23, dtype=torch.float64)
    for how in ({}, {"weights": weights}):
        how = {"bias": b, "scale": 20.0, "metric": metric, **how}
        ours, theirs = streaming_cross_entropy(x, e, y, **how), torch_cross_entropy(x, e, y, **how)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        pairs = zip(gradients(ours[0], [x, e, b]), gradients(theirs[0], [x, e, b]), strict=True)
        for mine, other in pairs:
            torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_a_torch_without_the_op_is_named(monkeypatch):
    x, e, y = learnt(23, 8, 0.5)
    monkeypatch.setattr(
        F, "linear_cross_entropy", lambda input, weight, target: None, raising=False
    )
    assert not torch_has_it()
    with pytest.raises(ConfigError, match=r"linear_cross_entropy.*type method/loss=exact"):
        torch_cross_entropy(x, e, y)


def test_deterministic_mode_gives_the_same_bits():
    x, e, y = learnt(150, 500, 0.35, dtype=torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        runs = [found(x, e, y) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_the_share_of_pairs_that_count():
    """A class at the pixel, and one at 40 below, where the cutoff of two classes is 17.3."""
    e = torch.tensor([[0.0], [2.0**0.5]])
    y = torch.tensor([[[0, 0, 0, -1]]])
    x = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(1, 1, 1, 4)
    share = share_kept(x, e, y, scale=20.0, metric="sq")
    assert float(share) == pytest.approx(4 / 6)
    assert float(share_kept(x, e, y, scale=20.0, metric="sq", cutoff=50)) == 1.0
    angle, table = torch.tensor([[[[0.1]], [[0.0]]]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    kept = [
        share_kept(angle, table, y[:, :, :1], scale=20.0, normalize=unit) for unit in (False, True)
    ]
    assert kept == [1.0, 0.5]  # 4 apart as they are, 40 apart of length 1


@on_linux
def test_memory_where_every_pixel_goes_the_other_way():
    before = """
from segsuite.ops.streaming_cross_entropy import streaming_cross_entropy
def exact(x, e, y):
    return streaming_cross_entropy(x, e, y, scale=20.0, metric="sq")[0]
def made(pixels):
    x = (99 * F.normalize(torch.randn(pixels, 12), dim=1)).requires_grad_()
    e = F.normalize(torch.randn(10_000, 12), dim=1).requires_grad_()
    return x, e, torch.randint(-1, 10_000, (pixels,))
exact(*made(16)).backward()
held = made(8192)
"""
    assert peak_of("exact(*held).backward()", before=before) <= 8192 * 12 * 4 + 8 * 2**20
