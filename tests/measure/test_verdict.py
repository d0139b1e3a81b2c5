"""A speed-up is claimed only where there is one."""

from segsuite.measure.latency import Latency, Ratio, ratio
from segsuite.measure.verdict import verdict

FAST, SLOW, UNCLEAR = Ratio(1.9, 1.8, 2.0), Ratio(0.8, 0.7, 0.9), Ratio(1.05, 0.9, 1.2)


def test_faster_at_every_batch() -> None:
    line = verdict("hybrid", "dense", {8: Ratio(2.1, 2.05, 2.2), 1: FAST})
    assert line == (
        "hybrid: times as fast as dense: 1.90 at batch 1 (1.80 to 2.00), "
        "2.10 at batch 8 (2.05 to 2.20)"
    )


def test_slower_at_batch_1_is_no_speed_up_whatever_else() -> None:
    line = verdict("hybrid", "dense", {1: SLOW, 8: FAST})
    assert line == "hybrid: slower, 0.80 times as fast as dense at batch 1 (0.70 to 0.90)"


def test_within_the_noise_is_no_speed_up() -> None:
    assert "no clear difference" in verdict("hybrid", "dense", {1: UNCLEAR, 8: FAST})


def test_without_batch_1_nothing_is_claimed() -> None:
    line = verdict("hybrid", "dense", {8: FAST})
    assert "no speed-up is claimed" in line and "1.90" not in line


def test_a_gain_that_a_larger_batch_loses_is_told() -> None:
    line = verdict("hybrid", "dense", {1: FAST, 8: UNCLEAR})
    assert line.endswith("but not clearly so: 1.05 at batch 8 (0.90 to 1.20)")


def test_a_few_rounds_conclude_nothing() -> None:
    quick = Latency(seconds=(1.0,) * 5, batch=1), Latency(seconds=(0.5,) * 5, batch=1)
    enough = Latency(seconds=(1.0,) * 6, batch=1), Latency(seconds=(0.5,) * 6, batch=1)
    assert not ratio(*quick).faster and ratio(*enough).faster
    line = verdict("hybrid", "dense", {1: ratio(*quick)})
    assert line == (
        "hybrid: too few rounds to tell it from dense at batch 1 (2.00 to 2.00); 6 are needed"
    )
