"""Parts cover what ran, once, in order; their costs add up."""

import pytest
import torch
from torch import nn

from segsuite.measure.breakdown import ELSEWHERE, PartClock, breakdown, part_names
from segsuite.measure.cost import total
from segsuite.measure.operations import count
from tests.bench.toy import ToyTokens, half_bright


def test_blocks_are_shown_one_by_one_and_the_rest_whole_in_order_of_running() -> None:
    network = ToyTokens()
    names = part_names(network, count(network, half_bright()), apart=network.excluded_from_cost)
    assert names == ["policy", "embed", *[f"trunk.blocks.{i}" for i in range(5)], "head"]


def test_the_longest_list_is_the_trunk_unless_set_apart() -> None:
    network = ToyTokens()  # its policy has six layers, its trunk five blocks
    names = part_names(network, count(network, half_bright()))
    assert "policy.layers.0" in names and "policy" not in names


def test_costs_add_up_to_the_whole() -> None:
    network, images = ToyTokens(), half_bright()
    found = count(network, images)
    parts = breakdown(network, images, found, rounds=2)
    assert total(part.cost for part in parts) == found.everything
    assert parts[-1].name == ELSEWHERE


def test_times_are_of_modules_that_were_called() -> None:
    network, images = ToyTokens(), half_bright()
    parts = {p.name: p for p in breakdown(network, images, count(network, images), rounds=2)}
    assert parts["embed"].seconds is None  # used as a function: its time is elsewhere
    assert all(p.seconds > 0 for name, p in parts.items() if name != "embed")


def test_time_of_a_module_called_twice_is_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 10.0, 13.0])
    monkeypatch.setattr("segsuite.measure.breakdown.time.perf_counter", lambda: next(ticks))
    network = nn.Sequential(nn.Identity())
    with PartClock(network, ["0"], torch.device("cpu")) as clock:
        network(0), network(0)
        assert clock.lap() == {"0": 4.0}
        assert clock.lap() == {}
    assert not network[0]._forward_hooks and not network[0]._forward_pre_hooks
