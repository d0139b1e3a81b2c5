"""The paper's optimiser: three kinds of parameters, each with its own rate, momentum and decay."""

import copy

import pytest
import torch

from segsuite.core.build import build
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.record import plain
from segsuite.engine.optim import fused_on_cpu, parameter_groups, scale_learning_rates
from tests.essnet.made import network


def optimised(*overrides: str):
    cfg = compose("train", ["method=essnet", "method/backbone=mobilenetv2", "data=scenes"])
    groups = parameter_groups(
        list(network(*overrides).named_parameters()), plain(cfg.method.groups)
    )
    optimizer = build(cfg.method.optimizer, path="method.optimizer")(groups)
    schedule = build(cfg.method.schedule, path="method.schedule")
    return scale_learning_rates(optimizer), schedule


def group_of(optimizer, shape):
    """The group that holds a parameter of that shape."""
    return next(g for g in optimizer.param_groups if any(p.shape == shape for p in g["params"]))


def test_rates_momenta_and_decays():
    optimizer, schedule = optimised()
    stem, embeddings = torch.Size([32, 3, 3, 3]), torch.Size([19, 12])
    projection = torch.Size([12, 256, 1, 1])
    assert group_of(optimizer, stem)["lr"] == pytest.approx(0.001)
    assert group_of(optimizer, projection)["lr"] == pytest.approx(0.01)
    assert group_of(optimizer, projection)["momentum"] == 0.9
    assert group_of(optimizer, embeddings)["lr"] == pytest.approx(0.01)
    assert group_of(optimizer, embeddings)["momentum"] == 0.95
    assert all(group["weight_decay"] == 1e-4 for group in optimizer.param_groups)
    steps = schedule(optimizer, max_steps=100)
    for _ in range(50):
        optimizer.step()
        steps.step()
    assert group_of(optimizer, projection)["lr"] == pytest.approx(0.01 * 0.5**0.9, rel=1e-3)
    assert group_of(optimizer, embeddings)["lr"] == pytest.approx(0.01 * 0.5**0.95, rel=1e-3)
    for _ in range(50):
        optimizer.step()
        steps.step()
    assert group_of(optimizer, projection)["lr"] == pytest.approx(1e-6)


def test_a_plain_head_has_no_embeddings_and_needs_none():
    optimizer, _ = optimised("method/head=linear")
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == 5_225_203
    assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_only_the_backbones_batch_norms_are_slow():
    built = network()
    momenta = {
        part: {m.momentum for m in getattr(built, part).modules() if hasattr(m, "momentum")}
        for part in ("backbone", "decoder")
    }
    assert momenta["backbone"] - {0.01} <= {None} and 0.01 in momenta["backbone"]
    assert 0.1 in momenta["decoder"] and 0.01 not in momenta["decoder"]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_fused_step_is_the_same_and_goes_on_from_one_that_was_not(kind):
    how = {"lr": 0.1, "weight_decay": 1e-2} | ({"momentum": 0.9} if kind is torch.optim.SGD else {})
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 40)) for _ in range(2)]
    plain = kind(weights[:1], **how)
    fused = fused_on_cpu(kind(weights[1:], **how))
    assert fused.param_groups[0]["fused"] and not plain.param_groups[0]["fused"]
    for step in range(4):
        for weight in weights:
            weight.grad = (weight.detach() + step).sin()
        plain.step()
        fused.step()
        torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-6)
        fused.load_state_dict(copy.deepcopy(plain.state_dict()))  # as of a run from before
        assert not fused.param_groups[0]["fused"]
        fused_on_cpu(fused)


def test_what_was_typed_or_is_of_others_is_not_fused():
    class Own(torch.optim.SGD):
        pass

    weight = torch.nn.Parameter(torch.ones(3))
    for made in (
        torch.optim.SGD([weight], foreach=False),
        torch.optim.AdamW([weight], fused=False),
        torch.optim.SGD([torch.nn.Parameter(torch.ones(3, device="meta"))]),
        Own([weight]),
    ):
        assert not fused_on_cpu(made).param_groups[0]["fused"]
