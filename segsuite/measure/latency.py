"""Time, measured so that two networks can be compared: in turns, on one machine, in one run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from statistics import median, quantiles
from typing import Any

import torch

from segsuite.core.results import Metric

Step = Callable[[Any], Any]
"""Part of a run: from what the step before it gave to what the next one gets."""


ROUNDS = 6
"""Fewer conclude nothing: five coins show one side, whichever, in 1 case of 16."""


@dataclass(frozen=True)
class Latency:
    """Seconds of each round for one batch, in the order of the rounds."""

    seconds: tuple[float, ...]
    batch: int = 1

    @property
    def median(self) -> float:
        """Seconds a batch."""
        return median(self.seconds)

    @property
    def p10(self) -> float:
        """Nine rounds in ten took longer."""
        return self._decile(0)

    @property
    def p90(self) -> float:
        """One round in ten took longer."""
        return self._decile(8)

    @property
    def images_per_second(self) -> float:
        """By the median."""
        return self.batch / self.median

    def _decile(self, index: int) -> float:
        if len(self.seconds) == 1:
            return self.seconds[0]
        return quantiles(self.seconds, n=10, method="inclusive")[index]

    @property
    def metric(self) -> Metric:
        """Milliseconds a batch: the median, from the first to the last decile."""
        return Metric(value=1e3 * self.median, low=1e3 * self.p10, high=1e3 * self.p90)

    def to_dict(self) -> dict[str, float]:
        """Milliseconds a batch, images a second."""
        return {
            "median_ms": 1e3 * self.median,
            "p10_ms": 1e3 * self.p10,
            "p90_ms": 1e3 * self.p90,
            "images_per_second": self.images_per_second,
            "rounds": len(self.seconds),
        }


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the first network, by the paired rounds.

    Attributes:
        median: median of baseline / other, round by round.
        low, high: 95 % confidence interval of that median (sign test); with fewer than `ROUNDS` no
            interval reaches 95 %, and it is the whole range.
        conclusive: whether there were enough rounds to conclude anything.
    """

    median: float
    low: float
    high: float
    conclusive: bool = True

    @property
    def faster(self) -> bool:
        """Beyond doubt."""
        return self.conclusive and self.low > 1

    @property
    def slower(self) -> bool:
        """Beyond doubt."""
        return self.conclusive and self.high < 1

    @property
    def metric(self) -> Metric:
        """The median with its interval."""
        return Metric(value=self.median, low=self.low, high=self.high)

    def to_dict(self) -> dict[str, float | bool]:
        """Plain types."""
        return asdict(self)

    @property
    def interval(self) -> str:
        """What lies between `low` and `high`."""
        return "95 % interval" if self.conclusive else f"whole range, below {ROUNDS} rounds"


def interleaved(
    runs: Mapping[str, Sequence[Step]],
    inputs: Callable[[int], Any],
    *,
    rounds: int,
    warm_up: int,
    device: torch.device,
    batch: int = 1,
) -> dict[str, list[Latency]]:
    """Seconds from the start to the end of each step of each run; the runs take turns.

    A B C, A B C, ...: whatever else the machine does meanwhile, and however warm it gets, befalls
    all alike, and a ratio can be taken within each round.

    Args:
        runs: the steps of each run by its name; each hands its result on, such as predict and then
            labels.
        inputs: what the first steps of a round get; the same for all runs.
        warm_up: number of rounds before the first that counts.
        batch: number of images in one input.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least one is needed")
    taken: dict[str, list[list[float]]] = {name: [] for name in runs}
    for turn in range(-warm_up, rounds):
        given = inputs(turn)
        for name, steps in runs.items():
            seconds = timed(steps, given, device)
            if turn >= 0:
                taken[name].append(seconds)
    return {
        name: [Latency(seconds, batch) for seconds in zip(*turns, strict=True)]
        for name, turns in taken.items()
    }


def timed(steps: Sequence[Step], given: Any, device: torch.device) -> list[float]:
    """Seconds from the start to the end of each step.

    On a GPU by events, on an idle device: gaps in which the GPU waits for the host are part of it,
    as they are for whoever waits for the answer.
    """
    if device.type != "cuda":
        begun, ends = time.perf_counter(), []
        for step in steps:
            given = step(given)
            ends.append(time.perf_counter() - begun)
        return ends
    torch.cuda.synchronize(device)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(steps) + 1)]
    marks[0].record()
    for step, mark in zip(steps, marks[1:], strict=True):
        given = step(given)
        mark.record()
    torch.cuda.synchronize(device)
    return [marks[0].elapsed_time(mark) / 1e3 for mark in marks[1:]]


def ratio(baseline: Latency, other: Latency) -> Ratio:
    """How many times as fast as `baseline` the other is, from rounds measured in turns."""
    pairs = zip(baseline.seconds, other.seconds, strict=True)
    ratios = sorted(first / second for first, second in pairs)
    outside = _outside(len(ratios))
    return Ratio(median(ratios), ratios[outside], ratios[-1 - outside], len(ratios) >= ROUNDS)


def _outside(count: int, doubt: float = 0.05) -> int:
    """How many values may be cut off at each end so that the rest still spans the true median.

    The median lies below the (k+1)-th smallest of n values as often as n fair coins show at most k
    heads; both ends together may miss it with probability `doubt`.
    """
    tail, cut = 0.0, 0
    for heads in range(count):
        tail += comb(count, heads) / 2**count
        if tail > doubt / 2:
            break
        cut = heads
    return cut
