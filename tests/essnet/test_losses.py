"""Every loss against the obvious one, and against values of the released code."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.methods.essnet.losses.dense import DenseLoss
from segsuite.methods.essnet.losses.exact import ExactLoss
from segsuite.methods.essnet.losses.knn import NeighbourLoss
from segsuite.methods.essnet.losses.random import RandomLoss, distinct
from segsuite.methods.essnet.losses.reference import ReferenceLoss
from segsuite.methods.essnet.regulariser import MaxMargin
from tests.essnet.made import golden, golden_output, logits, output
from tests.own_process import on_linux, peak_of

SIZE = (9, 11)


def labels(classes: int = 23, batch: int = 2) -> torch.Tensor:
    return torch.randint(-1, classes, (batch, *SIZE), generator=torch.Generator().manual_seed(1))


def gradients(loss, out, y):
    leaves = [leaf for leaf in (out.features, out.table, out.bias) if leaf is not None]
    return torch.autograd.grad(sum(loss(out, y).values()), leaves)


@pytest.mark.parametrize("case", ["small", "middle", "large"])
def test_golden_values(case):
    wanted = golden(case)
    k, margin = int(wanted["k"]), MaxMargin(margin=0.2)
    out, y = golden_output(wanted, "l2")
    found = ReferenceLoss(k=k, search="torch", regulariser=margin)(out, y)
    total = sum(found.values())
    assert float(total) == pytest.approx(wanted["ref_total"], abs=1e-12)
    assert float(found["margin"]) == pytest.approx(wanted["reg"], abs=1e-12)
    of_x, of_e = torch.autograd.grad(total, (out.features, out.table))
    assert float(of_x.norm()) == pytest.approx(wanted["grad_x_norm"], rel=1e-10)
    assert float(of_e.norm()) == pytest.approx(wanted["grad_e_norm"], rel=1e-10)
    for loss in (ExactLoss(), DenseLoss()):
        assert float(loss(out, y)["ce"]) == pytest.approx(wanted["exact_l2"], abs=1e-10)
    out, y = golden_output(wanted, "sq")
    for loss in (ExactLoss(), DenseLoss()):
        assert float(loss(out, y)["ce"]) == pytest.approx(wanted["exact_sq"], abs=1e-10)
    neighbours = NeighbourLoss(k=k, search="torch")(out, y)["ce"]
    assert float(neighbours) == pytest.approx(wanted["eq6"], abs=1e-10)


@pytest.mark.parametrize("normalize_after", [False, True])
@pytest.mark.parametrize("metric", ["dot", "sq", "l2"])
@pytest.mark.parametrize("kind", [ExactLoss, DenseLoss])
def test_the_mean_over_labelled_pixels_of_the_definition(kind, metric, normalize_after):
    if metric == "dot" and normalize_after:
        return
    out, y = output(metric, normalize_after=normalize_after), labels()
    obvious = F.cross_entropy(logits(out, SIZE).permute(0, 3, 1, 2), y, ignore_index=-1)
    assert float(kind()(out, y)["ce"]) == pytest.approx(float(obvious), rel=1e-12)
    leaves = [leaf for leaf in (out.features, out.table, out.bias) if leaf is not None]
    for ours, theirs in zip(
        gradients(kind(), out, y), torch.autograd.grad(obvious, leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", ["sq", "l2"])
@pytest.mark.parametrize("search", ["torch", "faiss"])
def test_nearest_classes_and_the_own_one_as_a_union(metric, search):
    """Equation 6, pixel by pixel."""
    out, y = output(metric, size=SIZE, batch=1), labels(batch=1)
    all_logits, total, count = logits(out, SIZE)[0], 0.0, 0
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            if (own := int(y[0, row, column])) < 0:
                continue
            z = all_logits[row, column]
            union = sorted({*z.topk(4).indices.tolist(), own})
            total, count = total + z[union].logsumexp(0) - z[own], count + 1
    found = NeighbourLoss(k=4, search=search)(out, y)["ce"]
    tolerance = 1e-12 if search == "torch" else 1e-9  # faiss searches in float32
    assert float(found) == pytest.approx(float(total / count), rel=tolerance)


def test_all_neighbours_are_the_exact_loss_and_fewer_are_never_above():
    out, y = output("sq"), labels()
    exact = float(ExactLoss()(out, y)["ce"])
    values = [float(NeighbourLoss(k=k, search="torch")(out, y)["ce"]) for k in (1, 4, 22)]
    assert values[-1] == pytest.approx(exact, rel=1e-6)  # without the farthest class of all
    assert values == sorted(values) and values[0] < exact


def test_random_negatives_are_distinct_and_never_the_own_class():
    torch.manual_seed(0)
    drawn = distinct(2000, 4, 7, torch.device("cpu"))
    assert all(len(set(row)) == 4 for row in drawn.tolist())
    share = torch.bincount(drawn.flatten(), minlength=7) / drawn.numel()
    torch.testing.assert_close(share, torch.full((7,), 1 / 7), atol=0.02, rtol=0)
    out, y = output("sq"), labels()
    for share in ("pixel", "batch"):
        everything = RandomLoss(k=22, share=share)(out, y)["ce"]
        assert float(everything) == pytest.approx(float(ExactLoss()(out, y)["ce"]), rel=1e-12)
        assert RandomLoss(k=3, share=share)(out, y)["ce"] < everything


def test_the_released_code_lets_class_0_compete_with_itself():
    out = output("l2", size=SIZE, batch=1)
    y = torch.zeros(1, *SIZE, dtype=torch.int64)
    near = ReferenceLoss(k=22, search="torch")(out, y)["ce"]
    z = logits(out, SIZE)[0].flatten(0, 1)
    twice = torch.cat([z, z[:, :1]], dim=1)
    expected = (twice.logsumexp(1) - z[:, 0]).mean()
    assert float(near) == pytest.approx(float(expected), rel=1e-6)
    assert near > ExactLoss()(out, y)["ce"]


ALL = [ExactLoss(), DenseLoss(), NeighbourLoss(k=3), RandomLoss(k=3), ReferenceLoss(k=3)]


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_without_a_labelled_pixel_all_is_zero(loss):
    out, y = output("sq"), torch.full((2, *SIZE), -1)
    assert float(loss(out, y)["ce"]) == 0
    assert all(float(g.abs().max()) == 0 for g in gradients(loss, out, y))


@pytest.mark.parametrize("wrong", [23, 255, -2])
@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_labels_that_no_class_has_are_named(loss, wrong):
    y = labels()
    y[1, 2, 3] = wrong
    with pytest.raises(IndexError, match=f"label {wrong} is "):
        loss(output("sq"), y)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_labels_as_files_hold_them_are_refused(loss):
    with pytest.raises(TypeError, match=r"labels are torch\.uint8"):
        loss(output("sq"), labels().to(torch.uint8))


@pytest.mark.gpu
@pytest.mark.parametrize("loss", ["exact.ExactLoss()", "dense.DenseLoss()", "knn.NeighbourLoss()"])
def test_wrong_labels_end_the_process_on_a_gpu(loss):
    """Which is not waited for; what fails there poisons all that follows: a process of its own."""
    module, call = loss.split(".")
    program = (
        "import torch\n"
        f"from segsuite.methods.essnet.losses.{module} import {call.removesuffix('()')}\n"
        "from segsuite.methods.essnet.output import EssnetOutput\n"
        "x, e = torch.randn(1, 6, 4, 4).cuda(), torch.randn(23, 6).cuda()\n"
        "out = EssnetOutput(features=x, table=e, bias=None, scale=20.0, metric='sq')\n"
        f"print({call}(out, torch.full((1, 8, 8), 23).cuda())['ce'].item())\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode != 0 and "not in -1 .. 22" in ran.stderr, ran.stderr


@pytest.mark.parametrize("loss", [NeighbourLoss(k=3), RandomLoss(k=3), ReferenceLoss(k=3)])
def test_losses_of_embeddings_refuse_a_plain_head(loss):
    with pytest.raises(ConfigError, match="method/loss=exact"):
        loss(output("dot"), labels())


def test_more_neighbours_than_classes_are_refused():
    with pytest.raises(ConfigError, match=r"method\.loss\.k=23 must be between 1 and 22"):
        NeighbourLoss(k=23)(output("sq"), labels())


def test_drawn_pixels_estimate_the_mean():
    out, y = output("sq"), labels()
    exact = float(ExactLoss()(out, y)["ce"])
    torch.manual_seed(0)
    drawn = [float(ExactLoss(max_pixels=40)(out, y)["ce"]) for _ in range(200)]
    assert sum(drawn) / 200 == pytest.approx(exact, rel=0.03)
    assert max(drawn) > 1.05 * exact


def test_the_mean_over_all_processes(monkeypatch):
    """What two processes average is the mean over the pixels of both, in the losses' precision."""
    from segsuite.methods.essnet.losses import base

    out, y = output("sq"), labels()
    y[1, 2:] = -1
    pooled = float(ExactLoss()(out, y)["ce"])
    counts = (y >= 0).flatten(1).sum(1)
    monkeypatch.setattr(base.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(base.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(base.dist, "all_reduce", lambda count: count.fill_(counts.sum()))
    shares = []
    for image in range(2):
        own = replace(out, features=out.features[image : image + 1].float())
        own = replace(own, table=out.table.float())
        shares.append(ExactLoss(global_mean=True)(own, y[image : image + 1])["ce"])
    assert counts[0] != counts[1] and all(share.dtype == torch.float32 for share in shares)
    assert float(sum(shares)) / 2 == pytest.approx(pooled, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 19, 1500])
def test_the_margin_is_that_of_all_distances(classes):
    torch.manual_seed(classes)
    table = F.normalize(torch.randn(classes, 5, dtype=torch.float64), dim=1).requires_grad_()
    distances = (table.unsqueeze(1) - table).square().sum(2).add(torch.eye(classes) * 9).sqrt()
    dense = (0.7 - distances.amin(1)).clamp(min=0).mean() * 3
    found = MaxMargin(margin=0.7, weight=3.0)(table)
    torch.testing.assert_close(found, dense, rtol=1e-10, atol=1e-12)
    (ours,), (theirs,) = torch.autograd.grad(found, table), torch.autograd.grad(dense, table)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)


@on_linux
def test_the_margin_of_ten_thousand_classes_needs_no_matrix():
    before = """
from segsuite.methods.essnet.regulariser import MaxMargin
table = F.normalize(torch.randn(10_000, 12), dim=1).requires_grad_()
"""
    assert peak_of("MaxMargin()(table).backward()", before=before) < 20e6  # a matrix takes 400
