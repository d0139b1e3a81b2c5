"""Class weights, hard pixels and Dice in ESSNet's losses, against the obvious formulas."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.methods.essnet.losses.dense import DenseLoss
from segsuite.methods.essnet.losses.exact import ExactLoss
from segsuite.methods.essnet.losses.knn import NeighbourLoss
from segsuite.methods.essnet.losses.random import RandomLoss
from segsuite.methods.essnet.losses.reference import ReferenceLoss
from tests.essnet.made import logits, output
from tests.essnet.test_losses import SIZE, labels
from tests.host_syncs import host_syncs
from tests.reference.weighted_losses import dice, mean_of, released_losses, weighted_mean

WEIGHTS = torch.linspace(0, 3, 23).square().tolist()


def leaves(out):
    return [leaf for leaf in (out.features, out.table, out.bias) if leaf is not None]


def equal(ours, theirs, out):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    pairs = zip(
        torch.autograd.grad(ours, leaves(out)),
        torch.autograd.grad(theirs, leaves(out)),
        strict=True,
    )
    for mine, expected in pairs:
        assert expected.abs().max() > 0
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalize_after", [False, True])
@pytest.mark.parametrize(("metric", "dim"), [("dot", 6), ("dot", 40), ("sq", 6), ("l2", 6)])
@pytest.mark.parametrize("kind", [ExactLoss, DenseLoss])
def test_weights_are_those_of_cross_entropy(kind, metric, dim, normalize_after):
    """torch's weighted mean of all logits, and its gradients; 40 numbers go by tiles."""
    if metric == "dot" and normalize_after:
        return
    out, y = output(metric, dim=dim, normalize_after=normalize_after), labels()
    scores = logits(out, SIZE).permute(0, 3, 1, 2)
    weights = torch.tensor(WEIGHTS, dtype=torch.float32).double()
    obvious = F.cross_entropy(scores, y, weights, ignore_index=-1)
    equal(kind(class_weights=WEIGHTS)(out, y)["ce"], obvious, out)


@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
@pytest.mark.parametrize(("ohem", "kept"), [(0.5, 0.01), (1e-30, 0.3), (1.0, 0.1)])
@pytest.mark.parametrize(("metric", "dim"), [("dot", 40), ("sq", 6), ("l2", 6)])
@pytest.mark.parametrize("kind", [ExactLoss, DenseLoss])
def test_only_the_hardest_pixels_count(kind, metric, dim, ohem, kept, class_weights):
    """By the probability, by the least share, and all of them."""
    out, y = output(metric, dim=dim, size=SIZE, batch=1), labels(batch=1)
    weights = None if class_weights is None else torch.tensor(class_weights).double()
    flat = logits(out, SIZE).flatten(0, 2)
    obvious = weighted_mean(flat, y.flatten(), weights, probability=ohem, share=kept)
    loss = kind(class_weights=class_weights, ohem=ohem, ohem_kept=kept)
    equal(loss(out, y)["ce"], obvious, out)
    if ohem == 1.0:
        everything = kind(class_weights=class_weights)(out, y)["ce"]
        torch.testing.assert_close(loss(out, y)["ce"], everything, rtol=1e-12, atol=0)


HARD = {"ohem": 0.2, "ohem_kept": 0.1}


@pytest.mark.parametrize("kind", [NeighbourLoss, RandomLoss])
def test_losses_over_few_classes_weigh_and_choose_alike(kind):
    """With all classes beside the own one they are the exact loss."""
    out, y = output("sq"), labels()
    more = {} if kind is RandomLoss else {"search": "torch"}
    found = kind(k=22, **more, class_weights=WEIGHTS, **HARD)(out, y)["ce"]
    exact = ExactLoss(class_weights=WEIGHTS, **HARD)(out, y)["ce"]
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("how", [{}, HARD])
@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
@pytest.mark.parametrize(("metric", "k"), [("l2", 3), ("sq", 22)])
def test_the_released_codes_loss_is_weighed_pixel_by_pixel(metric, k, class_weights, how):
    """With its duplicates: 22 of 23 classes nearly always hold the own one."""
    out, y = output(metric), labels()
    losses = released_losses(logits(out, SIZE).flatten(0, 2), y.flatten(), k)
    weights = None if class_weights is None else torch.tensor(class_weights).double()
    chosen = {"probability": how["ohem"], "share": how["ohem_kept"]} if how else {}
    obvious = mean_of(losses, y.flatten(), weights, **chosen)
    loss = ReferenceLoss(k=k, search="torch", class_weights=class_weights, **how)
    torch.testing.assert_close(loss(out, y)["ce"], obvious, rtol=1e-9, atol=1e-9)


def test_scale_of_weights_does_not_matter_and_ones_are_none():
    out, y = output("sq"), labels()
    for loss in (ExactLoss, DenseLoss):
        plain, ones = (loss(class_weights=w)(out, y)["ce"] for w in (None, [1.0] * 23))
        torch.testing.assert_close(plain, ones, rtol=1e-12, atol=0)
        tiny = loss(class_weights=[w / 1e4 for w in WEIGHTS])(out, y)["ce"]
        torch.testing.assert_close(
            tiny, loss(class_weights=WEIGHTS)(out, y)["ce"], rtol=1e-6, atol=0
        )


def test_where_only_classes_of_weight_0_are_labelled_all_is_zero():
    out, y = output("sq"), labels().clamp(max=0)
    for loss in (ExactLoss(class_weights=WEIGHTS), DenseLoss(class_weights=WEIGHTS)):
        value = loss(out, y)["ce"]
        assert float(value.detach()) == 0
        assert all(float(g.abs().max()) == 0 for g in torch.autograd.grad(value, leaves(out)))


@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
def test_dice_is_that_of_its_formula(class_weights):
    out, y = output("dot"), labels()
    found = DenseLoss(dice=0.5, class_weights=class_weights)(out, y)
    weights = None if class_weights is None else torch.tensor(class_weights).double()
    expected = 0.5 * dice(logits(out, SIZE).flatten(0, 2), y.flatten(), weights)
    equal(found["dice"], expected, out)
    assert set(found) == {"ce", "dice"}


@pytest.mark.parametrize("kind", [ExactLoss, NeighbourLoss, RandomLoss, ReferenceLoss])
def test_dice_without_scores_is_refused(kind):
    with pytest.raises(ConfigError, match=r"method\.loss\.dice=0\.5 needs .* method/loss=dense"):
        kind(dice=0.5)


@pytest.mark.parametrize("ohem", [0, -0.1, 1.5, True])
def test_shares_that_are_none_are_refused(ohem):
    with pytest.raises(ConfigError, match=r"method\.loss\.ohem=.* is no share"):
        ExactLoss(ohem=ohem)


def test_the_weighted_mean_over_all_processes(monkeypatch):
    from segsuite.methods.essnet.losses import base

    out, y = output("sq"), labels()
    y[1, 2:] = -1
    pooled = float(ExactLoss(class_weights=WEIGHTS)(out, y)["ce"].detach())
    whole = torch.tensor(WEIGHTS)[y[y >= 0]].sum()
    monkeypatch.setattr(base.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(base.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(base.dist, "all_reduce", lambda count: count.fill_(whole))
    loss = ExactLoss(global_mean=True, class_weights=WEIGHTS)
    shares = [
        loss(replace(out, features=out.features[i : i + 1]), y[i : i + 1])["ce"] for i in (0, 1)
    ]
    assert float(sum(shares).detach()) / 2 == pytest.approx(pooled, rel=1e-6)


def test_losses_that_are_not_finite_are_not_left_out():
    out, y = output("sq"), labels()
    broken = replace(out, features=(out.features * float("nan")))
    for loss in (ExactLoss(ohem=0.7), DenseLoss(ohem=0.7)):
        assert not torch.isfinite(loss(broken, y)["ce"])


def test_choosing_and_weighing_wait_for_no_device():
    """Of dense scores; the torch path of the exact loss asks which pixels are labelled anyway."""
    out, y = output("dot"), labels()
    loss = DenseLoss(ohem=0.7, dice=1.0, class_weights=WEIGHTS)

    def step():
        sum(loss(out, y).values()).backward()

    waits = host_syncs(step)
    assert waits == host_syncs(lambda: sum(DenseLoss()(out, y).values()).backward()), waits
