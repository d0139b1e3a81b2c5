"""Objectives: all to be low, limits as shares, metrics that there are."""

import numpy as np
import pytest

from segsuite.core.errors import ConfigError
from segsuite.searching.objectives import Goals, front


def test_more_is_better_of_some():
    goals = Goals(("miou", "gmacs"), {"parameters": 2e6, "miou": 0.5})
    metrics = {"miou": 0.6, "gmacs": 3.0, "parameters": 3e6}
    assert goals.costs(metrics).tolist() == [-0.6, 3.0]
    assert goals.excess(metrics).tolist() == pytest.approx([0.5, -0.2])
    assert not goals.kept(metrics) and goals.kept({"parameters": 2e6})
    assert goals.metrics == ("miou", "gmacs", "parameters")
    assert np.isfinite(goals.costs({"gmacs": 1.0, "miou": float("nan")})).all()


@pytest.mark.parametrize(
    ("names", "limits", "said"),
    [
        ((), {}, "must name a metric or more"),
        (("miou", "miou"), {}, "each once"),
        (("mioU",), {}, "did you mean `miou`"),
        (("miou",), {"seconds": 3}, "`seconds` is no metric"),
    ],
)
def test_what_cannot_be_searched_for_is_said(names, limits, said):
    with pytest.raises(ConfigError, match=said):
        Goals(names, limits)


def test_the_front():
    table = np.array([[1, 5], [2, 2], [2, 2], [5, 1], [3, 3], [1, 6.0]])
    assert front(list(table)) == [0, 1, 3]
