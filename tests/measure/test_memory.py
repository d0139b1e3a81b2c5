"""Bytes of live tensors, where they can be told in advance."""

import torch

from segsuite.measure.memory import LiveBytes, peak_bytes

CPU = torch.device("cpu")
KILO = 250  # float32 elements in 1,000 bytes


def test_peak_is_of_what_lives_at_once() -> None:
    def run() -> None:
        a = torch.ones(KILO)  # 1,000
        b = a + 1  # 2,000
        del a
        c = b.repeat(4)  # 5,000, the peak
        del b
        c.sum()

    assert peak_bytes(run, CPU) == 5000


def test_views_share_and_in_place_adds_nothing() -> None:
    def run() -> None:
        a = torch.ones(KILO)
        a.view(5, 50).T[1:].add_(1)

    assert peak_bytes(run, CPU) == 1000


def test_what_was_there_before_does_not_count() -> None:
    weights = torch.ones(KILO)
    assert peak_bytes(lambda: weights[:10].add_(1), CPU) == 0
    assert peak_bytes(lambda: weights * 2, CPU) == 1000


def test_freed_bytes_are_given_back() -> None:
    with LiveBytes() as live:
        for _ in range(10):
            torch.ones(KILO)
        kept = torch.ones(KILO)
        assert live.now == 1000
    assert live.peak <= 2000  # the next may be made before the last is dropped
    del kept
