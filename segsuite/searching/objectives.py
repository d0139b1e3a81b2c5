"""What a search wants of an architecture: a metric, which direction is better, and a limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import ConfigError, did_you_mean

HIGHER = ("miou",)
"""Metrics of which more is better."""

COUNTED = ("gmacs", "parameters")
"""Metrics that are sums of what parts of a network have: 1e9 multiply-adds, and their number."""

MEMORY = "memory"
"""1e6 bytes held at most on the way to labels: without images or weights, but not at once."""

LATENCY = "latency"
"""Milliseconds of one image: predicted, and measured where that decides (`latency.model`)."""

UNITS = {"miou": "mIoU", LATENCY: "latency, ms", "gmacs": "GMACs", "memory": "memory, MB"}
"""How plots call them."""

KNOWN = (*HIGHER, LATENCY, *COUNTED, MEMORY)

_FAR = 1e15
"""How bad a candidate is that was not evaluated: finite, since pymoo takes nan for a tie, so that
cheap failures would win (findings/pymoo_nan_counts_as_a_tie.sh)."""


@dataclass(frozen=True)
class Goals:
    """What is optimised, and what must not be exceeded.

    Attributes:
        names: metrics that are optimised, at least one.
        limits: the most that metrics may be (the least, where more is better).

    Raises:
        ConfigError: a metric that there is not.
    """

    names: tuple[str, ...]
    limits: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise ConfigError(
                f"objectives={list(self.names)} must name a metric or more, each once: "
                f"{', '.join(KNOWN)}"
            )
        for name in (*self.names, *self.limits):
            if name not in KNOWN:
                raise ConfigError(
                    f"`{name}` is no metric that can be searched for{did_you_mean(name, KNOWN)}"
                )

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics that are needed."""
        return tuple(dict.fromkeys((*self.names, *self.limits)))

    @property
    def quality(self) -> str | None:
        """The objective of which more is better, if there is one."""
        return next((name for name in self.names if name in HIGHER), None)

    @property
    def accuracy(self) -> bool:
        """Whether any metric needs images."""
        return any(name in HIGHER for name in self.metrics)

    @property
    def minimised(self) -> tuple[str, ...]:
        """All metrics of which less is better."""
        return tuple(name for name in self.metrics if name not in HIGHER)

    def costs(self, metrics: Mapping[str, float]) -> NDArray[np.float64]:
        """The objectives of one architecture, all to be as low as possible.

        All of them are bad where one is not known: what could not be evaluated is not to win by
        being cheap.
        """
        costs = np.array([_signed(name, metrics.get(name)) for name in self.names])
        return np.full(len(costs), _FAR) if (costs == _FAR).any() else costs

    def excess(self, metrics: Mapping[str, float]) -> NDArray[np.float64]:
        """By how much each limit is exceeded; 0 or less where it is kept, and for metrics that are
        not there.

        In shares of the limit.
        """
        shares = []
        for name, limit in self.limits.items():
            value = metrics.get(name)
            apart = 0.0 if value is None else _signed(name, value) - _signed(name, limit)
            shares.append(apart / max(abs(limit), 1e-12))
        return np.array(shares)

    def complete(self, metrics: Mapping[str, float]) -> bool:
        """Whether all metrics are known, and numbers."""
        return all(metrics.get(name, np.nan) == metrics.get(name) for name in self.metrics)

    def kept(self, metrics: Mapping[str, float]) -> bool:
        """Whether no limit is exceeded by the metrics that are there."""
        return bool((self.excess(metrics) <= 0).all())


def _signed(name: str, value: float | None) -> float:
    if value is None or value != value:
        return _FAR
    return -value if name in HIGHER else value


def dominates(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether costs are nowhere higher and somewhere lower."""
    return bool((one <= other).all() and (one < other).any())


def front(costs: Sequence[NDArray[np.float64]]) -> list[int]:
    """The places of the architectures that no other beats, the first of equal ones alone."""
    table = np.asarray(costs)
    chosen = []
    for place, own in enumerate(table):
        no_worse, better = (table <= own).all(1), (table < own).any(1)
        equal_before = (table[:place] == own).all(1).any() if place else False
        if not (no_worse & better).any() and not equal_before:
            chosen.append(place)
    return chosen
