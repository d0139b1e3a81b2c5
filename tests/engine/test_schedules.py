import pytest
import torch
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.engine.callbacks.learning_rate import base_rate
from segsuite.engine.optim import parameter_groups, scale_learning_rates
from segsuite.engine.schedules import constant, poly, poly_factor, slow_poly


def rates(schedule, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


def optimizer(lr: float = 2.0) -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def test_poly_is_the_formula_and_ends_at_the_minimum():
    found = rates(poly(optimizer(), max_steps=10, power=0.9, min_ratio=0.1), 11)
    expected = [2.0 * ((1 - i / 10) ** 0.9 * 0.9 + 0.1) for i in range(11)]
    assert found == pytest.approx(expected)
    assert found[-1] == pytest.approx(0.2)


def test_warmup_starts_at_its_ratio_and_joins_the_curve():
    settings = {"max_steps": 100, "warmup": 10, "warmup_ratio": 1e-3}
    assert poly_factor(0, **settings) == pytest.approx(1e-3)
    assert poly_factor(10, **settings) == poly_factor(10, max_steps=100)
    climbing = [poly_factor(i, **settings) for i in range(11)]
    assert climbing == sorted(climbing)


def test_a_slow_start_is_constant_and_then_joins_the_curve():
    found = rates(slow_poly(optimizer(), max_steps=10, slow_steps=3, slow_ratio=0.1), 11)
    assert found[:3] == pytest.approx([0.2] * 3)
    assert found[3:] == pytest.approx([2.0 * (1 - i / 10) ** 0.9 for i in range(3, 11)])
    assert rates(slow_poly(optimizer(), max_steps=10), 1) == [2.0]


def test_constant_stays_after_its_warmup():
    found = rates(constant(optimizer(), max_steps=9, warmup=3), 6)
    assert found == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0])


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.head = nn.Linear(2, 2)


RULES = [
    {"match": ["head.*"], "lr_scale": 10.0},
    {"match": "*.1.*", "weight_decay": 0.0},
]


def test_each_parameter_is_in_the_first_group_that_fits_and_in_no_other():
    network = Two()
    groups = parameter_groups(network.named_parameters(), RULES)
    assert [len(group["params"]) for group in groups] == [2, 2, 2]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    built = scale_learning_rates(torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.05))
    assert [group["lr"] for group in built.param_groups] == pytest.approx([1e-2, 1e-3, 1e-3])
    assert [group["weight_decay"] for group in built.param_groups] == [0.05, 0.0, 0.05]


def test_frozen_parameters_are_left_out():
    network = Two()
    network.head.requires_grad_(False)
    groups = parameter_groups(network.named_parameters(), [])
    assert sum(len(group["params"]) for group in groups) == 4


def test_a_rule_that_fits_nothing_is_an_error_unless_optional():
    named = list(Two().named_parameters())
    with pytest.raises(ConfigError, match=r"groups\[0\].*haed"):
        parameter_groups(named, [{"match": "haed.*"}])
    assert parameter_groups(named, [{"match": "haed.*", "optional": True}])


def test_a_misspelt_key_of_a_rule_is_named():
    with pytest.raises(ConfigError, match="did you mean `lr_scale`"):
        parameter_groups([], [{"match": "*", "lr_scal": 2}])


def test_the_rate_that_is_logged_is_the_one_typed_as_far_as_it_has_come():
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    groups = parameter_groups(network.named_parameters(), [{"match": "0.*", "lr_scale": 10.0}])
    adam = scale_learning_rates(torch.optim.AdamW(groups, lr=2.0))
    schedule = poly(adam, max_steps=10, power=1.0)
    for _ in range(5):
        adam.step()
        schedule.step()
    assert base_rate(adam) == pytest.approx(1.0)
    only_scaled = [{"params": list(network.parameters()), "lr_scale": 0.1}]
    adam = scale_learning_rates(torch.optim.AdamW(only_scaled, lr=2.0))
    poly(adam, max_steps=10)
    assert base_rate(adam) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"match": None}, r"groups\[0\]\.match=null"),
        ({"match": 3}, r"groups\[0\]\.match=3` does not fit"),
        ({"match": [3]}, r"a list \(each text\) or text"),
        ({"match": []}, "needs `match`"),
        ({"lr_scale": "abc"}, "a number, 0 or more"),
        ({"lr_scale": [1]}, "a number, 0 or more"),
        ({"lr_scale": -1.0}, "a number, 0 or more"),
        ({"weight_decay": float("inf")}, "a number, 0 or more or null"),
        ({"momentum": 2.0}, "0 to 1"),
        ({"optional": "maybe"}, "true or false"),
    ],
)
def test_values_of_a_group_that_cannot_be_meant_are_named(rule, said):
    with pytest.raises(ConfigError, match=said):
        parameter_groups([], [{"match": "*"} | rule])
