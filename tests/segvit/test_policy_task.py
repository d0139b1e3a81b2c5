"""The policy trained alone, and what is measured of it."""

import math

import pytest
import torch

from segsuite.methods.segvit.sharing_metric import SharedRight


def by_loops(images, saved):
    """Windows shared, and how many of them are right by the scores, at random and by the truth."""
    shared = right = random = oracle = 0.0
    for scores, targets in images:
        windows = [
            (s, t)
            for s, t in zip(scores.flatten().tolist(), targets.flatten().tolist(), strict=True)
            if t != -1
        ]
        count = math.ceil(saved * 4 * len(windows) / 3)
        best = sorted(windows, reverse=True)[:count]
        uniform = sum(t for _, t in windows)
        shared += count
        right += sum(t for _, t in best)
        random += count * uniform / len(windows)
        oracle += min(count, uniform)
    return right / shared, random / shared, oracle / shared


@pytest.mark.parametrize("saved", [0.05, 0.3, 0.75])
def test_the_windows_that_would_be_shared_are_counted(saved):
    random = torch.Generator().manual_seed(0)
    images = [
        (
            torch.rand(size, generator=random),
            torch.randint(-1, 2, size, generator=random),
        )
        for size in ((16, 16), (11, 15), (3, 2))
    ]
    metric = SharedRight(saved=saved)
    for scores, targets in images:
        metric.update(scores, targets)
    assert [value.item() for value in metric.compute()] == pytest.approx(by_loops(images, saved))


def test_images_without_a_window_that_counts_change_nothing():
    metric = SharedRight(saved=0.3)
    metric.update(torch.rand(2, 2), torch.full((2, 2), -1))
    assert metric.compute().shared_right.isnan()


def test_at_512_pixels_three_tenths_are_the_103_windows_of_the_paper():
    metric = SharedRight(saved=0.3)
    metric.update(torch.rand(16, 16), torch.ones(16, 16, dtype=torch.int64))
    assert metric.shared.item() == 103
