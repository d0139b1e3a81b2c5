"""What training says that a network costs, without an image."""

import torch

from segsuite.measure.operations import OperationCounter, count
from segsuite.measure.planned import planned_cost
from tests.segvit.test_network import SIZE, exits, network
from tests.toy import ToySegmenter


def test_the_cost_is_that_of_a_real_image_and_the_network_stays_as_it_is():
    toy = ToySegmenter(num_classes=5).train()
    weights = [parameter.clone() for parameter in toy.parameters()]
    planned = planned_cost(toy, (32, 48))
    assert planned.cost == count(toy, torch.zeros(1, 3, 32, 48)).everything
    assert str(planned).endswith("GMACs for an image of 32x48") and not planned.at_most
    assert toy.training
    assert all(torch.equal(a, b) for a, b in zip(weights, toy.parameters(), strict=True))


def test_pruning_by_a_threshold_is_the_most_that_may_run():
    dynamic = planned_cost(network(None, exits("linear", mode="dynamic")), SIZE)
    static = planned_cost(network(None, exits("linear", mode="static", budgets=[0.5, 0.25])), SIZE)
    whole = planned_cost(network(None, exits("linear", mode="static", budgets=[1.0, 1.0])), SIZE)
    assert str(dynamic).startswith("at most") and not static.at_most
    assert static.cost.macs < dynamic.cost.macs == whole.cost.macs


def test_what_is_no_segmenter_has_no_cost():
    assert planned_cost(torch.nn.Linear(2, 2), (8, 8)) is None


def test_a_resize_on_the_meta_device_has_the_shape_and_cost_of_a_real_one():
    for more in ({"size": (9, 14)}, {"scale_factor": 2.0}):
        shapes, costs = [], []
        for device in ("cpu", "meta"):
            module = torch.nn.Upsample(**more, mode="bilinear").to(device)
            with torch.no_grad(), OperationCounter(module) as counter:
                shapes.append(module(torch.zeros(1, 3, 5, 7, device=device)).shape)
            costs.append(counter.of(""))
        assert shapes[0] == shapes[1] and costs[0] == costs[1] and costs[0].gfvcore > 0
