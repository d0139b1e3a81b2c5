"""method/loss=auto takes the fastest way, says which, and the loss stays the same."""

import logging
import math
from types import SimpleNamespace

import pytest
import torch

from segsuite.bench.loss_cost import CompareLosses
from segsuite.core.build import build
from segsuite.core.config import composed
from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable
from segsuite.engine.task import BaseTask
from segsuite.methods.essnet.callbacks import PairsKept
from segsuite.methods.essnet.losses import auto
from segsuite.methods.essnet.losses.auto import AutoLoss, chosen_way
from segsuite.methods.essnet.losses.exact import ExactLoss
from segsuite.methods.essnet.losses.torch import TorchLoss
from segsuite.ops.torch_cross_entropy import torch_has_it
from tests.essnet.made import output
from tests.toy import ToySegmenter

SIZE = (16, 20)
FINE = (4, 5)


def made(classes, dim, size, **how):
    y = torch.randint(-1, classes, (2, *size), generator=torch.Generator().manual_seed(1))
    return output(classes=classes, dim=dim, **how), y


def results(loss, out, y):
    leaves = [leaf for leaf in (out.features, out.table, out.bias) if leaf is not None]
    total = loss(out, y)["ce"]
    return [total, *torch.autograd.grad(total, leaves)]


@pytest.mark.parametrize(
    ("classes", "dim", "metric", "size", "way"),
    [
        (11, 12, "sq", SIZE, "dense"),
        (19, 12, "sq", SIZE, "exact"),
        (19, 12, "sq", FINE, "dense"),
        (150, 12, "sq", FINE, "exact"),
        (40, 64, "sq", SIZE, "dense"),
        (150, 128, "dot", SIZE, "exact"),
        (150, 128, "dot", FINE, "torch" if torch_has_it() else "exact"),
        (150, 128, "l2", FINE, "exact"),
    ],
)
@pytest.mark.parametrize("ohem", [None, 0.7])
def test_all_ways_are_the_exact_loss(classes, dim, metric, size, way, ohem):
    out, y = made(classes, dim, size, metric=metric)
    assert chosen_way(out, y)[0] == way
    how = {"ohem": ohem, "class_weights": torch.linspace(0.5, 2, classes).tolist()}
    for loss in (AutoLoss(**how), *([TorchLoss(**how)] if way == "torch" else [])):
        pairs = zip(results(loss, out, y), results(ExactLoss(**how), out, y), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_pixels_of_unit_length_after_upsampling_go_in_chunks():
    out, y = made(11, 12, SIZE, normalize_after=True)
    assert chosen_way(out, y)[0] == "exact"


def test_logits_that_would_take_memory_are_not_made(monkeypatch):
    out, y = made(11, 12, SIZE)
    monkeypatch.setattr(auto, "_MOST", 16 * y.numel() * 11 - 1)
    way, why = chosen_way(out, y)
    assert way == "exact" and "would be" in why


def test_what_was_taken_is_said_once_a_training(caplog):
    out, y = made(11, 12, SIZE)
    module = SimpleNamespace(loss=AutoLoss())
    with caplog.at_level(logging.INFO):
        for times in (1, 2):
            (callback,) = BaseTask.configure_callbacks(module)
            callback.on_train_start(None, module)
            for _ in range(3):
                module.loss(out, y)
            said = [r.getMessage() for r in caplog.records]
            assert said == times * [
                "method/loss=auto takes dense: 11 classes of 12 numbers, all logits of which are "
                "0 MB"
            ]
    assert BaseTask.configure_callbacks(SimpleNamespace(loss=ExactLoss())) == []


@pytest.mark.parametrize(
    ("settings", "classes", "said"),
    [
        ({"kernel": "triton"}, 11, "kernel=triton cannot run"),
        ({"budget": 0}, 11, "budget=0 holds no logit"),
        ({}, 1, "two classes or more"),
    ],
)
def test_what_the_exact_way_refuses_is_refused_on_any(settings, classes, said):
    out, y = made(classes, 12, SIZE)
    with pytest.raises(ConfigError, match=said):
        AutoLoss(**settings)(out, y.clamp(max=0))


def test_it_is_the_default():
    typed = ["method=essnet", "method.loss.cutoff=inf"]
    loss = build(composed("train", typed).method.loss, path="method.loss")
    assert type(loss) is AutoLoss and loss.cutoff == math.inf


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["method.loss.cutoff=17"], r"method\.loss\.cutoff=17 leaves out .*150.* = 21\.65; type"),
        (["method/loss=exact", "method.loss.cutoff=21"], r"method\.loss\.cutoff=21 leaves out"),
        (
            ["method/loss=knn", "method.loss.k=150"],
            r"method\.loss\.k=150 must be between 1 and 149",
        ),
        (["method/loss=random", "method.loss.k=0"], r"method\.loss\.k=0 must be between 1 and 149"),
    ],
)
def test_what_does_not_fit_the_classes_is_refused_before_training(typed, said):
    typed = ["method=essnet", "data=scenes", "data.num_classes=150", *typed]
    cfg = composed("train", typed)
    given = {
        "network": ToySegmenter(num_classes=150),
        "classes": ClassTable.load("ade20k150"),
        "inference": build(cfg.inference, path="inference"),
    }
    with pytest.raises(ConfigError, match=said):
        build(cfg.method.task, path="method.task", **given)


def test_the_share_of_pairs_is_logged_while_training():
    logged = {}
    trainer = SimpleNamespace(global_step=0)
    module = SimpleNamespace(loss=AutoLoss(), log=lambda name, v, **_: logged.update({name: v}))
    callback = PairsKept(every=2)
    callback.on_train_start(trainer, module)
    out, y = made(150, 12, SIZE)
    module.loss(out, y)
    assert 0 < float(logged.pop("train/pairs_kept")) < 1
    trainer.global_step = 1
    module.loss(out, y)
    callback.on_train_end(trainer, module)
    trainer.global_step = 2
    module.loss(out, y)
    assert not logged


def test_losses_that_do_not_fit_are_refused_before_any_is_timed():
    told = []
    arms = {"exact": ["method/loss=exact", "method.loss.cutoff=18"]}
    with pytest.raises(ConfigError, match=r"with 150 classes"):
        CompareLosses(classes=[2, 150], arms=arms, side=4)(data_overrides=[], tell=told.append)
    assert not told
