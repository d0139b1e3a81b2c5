"""Turns are taken, ratios are paired, intervals cover."""

from math import comb

import pytest
import torch

from segsuite.measure import latency
from segsuite.measure.latency import Latency, interleaved, ratio, timed

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless a step moves it."""
    now = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
    return now


def test_networks_take_turns_on_the_same_inputs() -> None:
    seen = []
    runs = {name: [lambda given, name=name: seen.append((name, given))] for name in "ABC"}
    found = interleaved(runs, lambda turn: turn, rounds=2, warm_up=1, device=CPU)
    assert seen == [(name, turn) for turn in (-1, 0, 1) for name in "ABC"]
    assert {name: len(steps[0].seconds) for name, steps in found.items()} == dict.fromkeys("ABC", 2)


def test_steps_hand_on_and_are_timed_from_the_start(clock: list[float]) -> None:
    def step(seconds: float):
        def run(given: int) -> int:
            clock[0] += seconds
            return given + 1

        return run

    last = []
    assert timed([step(2.0), step(3.0), last.append], 7, CPU) == [2.0, 5.0, 5.0]
    assert last == [9]


def test_warm_up_does_not_count(clock: list[float]) -> None:
    durations = iter([100.0, 50.0, 1.0, 2.0, 3.0])

    def run(given: int) -> None:
        clock[0] += next(durations)

    found = interleaved({"A": [run]}, lambda turn: turn, rounds=3, warm_up=2, device=CPU, batch=4)
    assert found["A"] == [Latency((1.0, 2.0, 3.0), batch=4)]
    assert found["A"][0].images_per_second == 2.0


def test_no_round_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="rounds=0"):
        interleaved({}, lambda turn: turn, rounds=0, warm_up=1, device=CPU)


def test_deciles() -> None:
    found = Latency(tuple(float(s) for s in range(101)))
    assert (found.p10, found.median, found.p90) == (10.0, 50.0, 90.0)
    assert Latency((3.0,)).p10 == Latency((3.0,)).p90 == 3.0


def test_ratio_is_of_pairs_and_not_of_medians() -> None:
    """A machine that slows down for both within a round leaves the ratio alone."""
    slowdown = [1.0, 7.0, 2.0, 30.0, 1.5, 4.0, 9.0]
    found = ratio(Latency(tuple(4 * s for s in slowdown)), Latency(tuple(2 * s for s in slowdown)))
    assert (found.low, found.median, found.high) == (2.0, 2.0, 2.0)
    assert found.faster and not found.slower


def test_a_ratio_within_the_noise_is_neither_faster_nor_slower() -> None:
    first = Latency((1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1.0, 1.0))
    found = ratio(first, Latency((1.1, 1.0, 1.0, 0.9, 1.0, 1.0, 1.1, 0.9)))
    assert not found.faster and not found.slower


@pytest.mark.parametrize("rounds", [6, 9, 20, 57])
def test_interval_is_the_narrowest_that_covers_the_median_in_95_percent(rounds: int) -> None:
    found = ratio(Latency(tuple(range(1, rounds + 1))), Latency((1.0,) * rounds))
    cut = int(found.low) - 1
    assert found.high == rounds - cut

    def missed(cut: int) -> float:
        return 2 * sum(comb(rounds, heads) for heads in range(cut + 1)) / 2**rounds

    assert missed(cut) <= 0.05 < missed(cut + 1)


def test_few_rounds_give_the_whole_range() -> None:
    found = ratio(Latency((1.0, 2.0, 3.0)), Latency((1.0, 1.0, 1.0)))
    assert (found.low, found.high) == (1.0, 3.0)
