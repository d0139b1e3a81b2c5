"""The supernet: a sub-network is its genotype's network with cut weights, trained and taken out."""

from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.engine.launch.settings import check_strategy
from segsuite.engine.task import SegmentationTask
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.heads import LightHead, QuarterHead
from segsuite.methods.hyctas.loss import HybridLoss
from segsuite.methods.hyctas.network import HybridSegmenter
from segsuite.methods.hyctas.space import SearchSpace
from segsuite.methods.hyctas.supernet import Supernet
from segsuite.methods.hyctas.supernet_task import SupernetTask
from segsuite.nn.recalibration import recalibrate
from tests.hyctas.made import TWO_BRANCHES, stirred
from tests.toy import toy_classes

CLASSES = 5


def supernet(**space) -> Supernet:
    torch.manual_seed(0)
    make = partial(HybridSegmenter, head=QuarterHead, auxiliary_heads="none")
    kind = {"layers": 5, "filters": 2, **space}
    return Supernet(space=SearchSpace(**kind), network=make, num_classes=CLASSES)


def images(count: int = 2, *, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 64, 96), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize("space", [{}, {"ends": 8}, {"rounding": "div8", "filters": 4}])
def test_what_is_taken_out_answers_the_same(space):
    net = stirred(supernet(**space))
    generator = np.random.default_rng(0)
    for genotype in [net.space.random(generator) for _ in range(6)] + [net.largest, net.smallest]:
        alone = net.extracted(genotype)
        with torch.no_grad():
            expected = net.run(genotype, images()).main.grid_scores
            torch.testing.assert_close(alone.predict(images()).grid_scores, expected)
        plain = HybridSegmenter(
            genotype=genotype, head=QuarterHead, num_classes=CLASSES, auxiliary_heads="none"
        )
        plain.load_state_dict(alone.state_dict())  # the network of the genotype and nothing else


def test_weights_are_cut_and_not_copied_for_training():
    net = supernet().train()
    genotype = Genotype(**TWO_BRANCHES)
    losses = HybridLoss()(net.run(genotype, images()), torch.randint(CLASSES, (2, 64, 96)))
    losses["ce"].backward()
    store = net.places["1-8-conv"].get_submodule("0.conv").weight
    out, into = (net.space.channels.of(8, width) for width in (8, 12))
    assert store.grad[:out, :into].abs().sum() > 0 and store.grad[out:].abs().sum() == 0
    learnt = {
        name
        for name, part in net.places.items()
        if any(p.grad is not None for p in part.parameters())
    }
    assert "0-8-light" in learnt and "3-16-skip" in learnt and "3-32-conv" not in learnt
    assert {n for n, t in net.tails.items() if any(p.grad is not None for p in t.parameters())} == {
        "16+32"
    }


def test_each_width_has_batch_norms_of_its_own():
    net = supernet().train()
    net.run(Genotype(**TWO_BRANCHES), images())
    table = net.places["1-8-conv"].get_submodule("0.norm")
    row = table.sizes.index(net.space.channels.of(8, 8))
    seen = table.num_batches_tracked.tolist()
    assert seen[row] == 1 and sum(seen) == 1
    assert table.running_mean[row].abs().sum() > 0
    others = [r for r in range(len(table.sizes)) if r != row]
    assert table.running_mean[others].abs().sum() == 0


def test_statistics_gathered_in_one_batch_are_those_of_all_images_at_once():
    """Of each batch norm of the network, whatever was there before."""
    net = stirred(supernet())
    alone, whole = net.extracted(Genotype(**TWO_BRANCHES)), images(6)
    recalibrate(alone, [whole])
    seen = {}
    for part in alone.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_forward_pre_hook(lambda norm, given: seen.update({norm: given[0]}))
            part.train()  # each normalises by what passes through it, as in one pass of all images
            part.momentum = 0.0
    with torch.no_grad():
        alone(whole)
    assert len(seen) > 10
    for norm, maps in seen.items():
        mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=True)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-5, atol=1e-5)


def test_statistics_are_gathered_anew():
    """Over batches, the stem's are as those of one pass; deeper, batches are normalised apart."""
    net = stirred(supernet())
    alone = net.extracted(Genotype(**TWO_BRANCHES))
    whole, parts = images(6), images(6).split(2)
    stem = alone.backbone.stem.enter
    recalibrate(alone, parts)
    assert not alone.training and stem.norm.momentum == 0.1
    with torch.no_grad():
        before = stem.conv(alone.normalize(whole))
    mean, variance = before.mean((0, 2, 3)), before.var((0, 2, 3), unbiased=True)
    torch.testing.assert_close(stem.norm.running_mean, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stem.norm.running_var, variance, rtol=0.05, atol=1e-3)
    again = net.extracted(Genotype(**TWO_BRANCHES))
    recalibrate(again, parts)
    for first, second in zip(alone.buffers(), again.buffers(), strict=True):
        assert torch.equal(first, second)
    with pytest.raises(ValueError, match="no image"):
        recalibrate(again, [])


def task(**changes) -> SupernetTask:
    made = SupernetTask(
        network=supernet(),
        classes=toy_classes(CLASSES),
        inference=None,
        loss=HybridLoss(),
        optimizer=None,
        schedule=None,
        **changes,
    )
    made._trainer = SimpleNamespace(global_step=3)
    return made


def test_draws_depend_on_seed_and_iteration_alone():
    """So that all processes draw the same, and a training that goes on what it would have drawn."""
    first, second = task(random=3, seed=1), task(random=3, seed=1)
    assert list(first.drawn(7)) == list(second.drawn(7)) != list(first.drawn(8))
    assert list(first.drawn(7)) != list(task(random=3, seed=2).drawn(7))


def test_losses_are_those_of_the_sub_networks():
    batch = {"image": images(), "label": torch.randint(CLASSES, (2, 64, 96))}
    plain = task(random=2)
    plain.network.eval()
    drawn = list(plain.drawn(3))
    each = [plain.loss(plain.network.run(g, batch["image"]), batch["label"])["ce"] for g in drawn]
    torch.testing.assert_close(plain.losses(batch)["ce"], sum(each))


@pytest.mark.parametrize("kind", ["widths", "space"])
def test_the_larger_teaches(kind):
    batch = {"image": images(), "label": torch.randint(CLASSES, (2, 64, 96))}
    sandwich = task(sandwich=kind, taught=0.5)
    sandwich.network.eval()
    net, losses = sandwich.network, sandwich.losses(batch)
    (drawn,) = sandwich.drawn(3)
    wide, narrow = (net.space.at_width(drawn, w) for w in (max(net.space.widths), 4))
    trained = [wide, drawn, narrow] if kind == "widths" else [net.largest, drawn, net.smallest]
    each = [sandwich.loss(net.run(g, batch["image"]), batch["label"])["ce"] for g in trained]
    torch.testing.assert_close(losses["ce"], sum(each))
    scores = [net.run(g, batch["image"]).main.grid_scores for g in trained]
    teacher = scores[0].softmax(1)
    apart = [
        (teacher * (scores[0].log_softmax(1) - s.log_softmax(1))).sum(1).mean() for s in scores
    ]
    torch.testing.assert_close(losses["taught"], 0.5 * sum(apart), rtol=1e-4, atol=1e-5)


def test_a_supernet_has_no_auxiliary_heads():
    make = partial(HybridSegmenter, head=LightHead)
    with pytest.raises(ConfigError, match="without auxiliary heads"):
        Supernet(space=SearchSpace(layers=5, filters=2), network=make, num_classes=CLASSES)


def test_it_is_a_network_itself():
    net = supernet().eval()
    with torch.no_grad():
        assert net.predict(images()).labels((64, 96)).shape == (2, 64, 96)
    assert isinstance(net, nn.Module) and net.size_divisor == 32


@pytest.mark.parametrize(
    ("strategy", "processes", "fits"),
    [("ddp", 2, False), ("ddp_find_unused_parameters_true", 2, True), ("ddp", 1, True)],
)
def test_processes_do_not_wait_for_gradients_that_nobody_makes(strategy, processes, fits):
    with nullcontext() if fits else pytest.raises(ConfigError, match="find_unused_parameters_true"):
        check_strategy({"strategy": strategy}, processes, SupernetTask.trains_all_weights)
    check_strategy({"strategy": strategy}, processes, SegmentationTask.trains_all_weights)
