"""The policy trained alone, and what is measured of it."""

import math

import pytest
import torch

from segsuite.core.build import build
from segsuite.engine.launch.entry_point import compose
from segsuite.methods.segvit.policy_task import PolicyTask
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


class Sees(torch.nn.Module):
    """A policy that takes bright windows for uniform ones, for `right`, or the dark ones."""

    num_classes = 2

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.sign = 1.0 if right else -1.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = torch.nn.functional.avg_pool2d(images[:, :1].float(), 32) - 100
        return torch.cat([-bright, bright], dim=1) * self.sign


@pytest.mark.parametrize(("right", "share"), [(True, 1.0), (False, 0.0)])
def test_the_task_measures_every_evaluation_anew(right, share, monkeypatch):
    """Half of the windows hold one class, and are bright."""
    cfg = compose("train", ["method=cts_policy", "data=scenes", "method.task.windows=0.3"])
    given = {"network": Sees(right=right), "classes": None, "inference": None}
    task = build(cfg.method.task, path="method.task", **given)
    assert isinstance(task, PolicyTask) and "shared_right" in task.metric_names
    labels = torch.zeros(128, 128, dtype=torch.int64)
    labels[:64, ::32] = 1  # a line in each window
    images = torch.zeros(3, 128, 128, dtype=torch.uint8)
    images[:, 64:] = 255
    logged = {}
    monkeypatch.setattr(task, "log_dict", lambda values, **_: logged.update(values))
    for _ in range(2):
        task.on_validation_epoch_start()
        task.validation_step({"image": [images], "label": [labels]}, 0)
        task.on_validation_epoch_end()
        assert task.evaluator.shared_right.shared == 7  # of 16
        shares = {name: float(value) for name, value in logged.items() if "shared" in name}
        assert shares == pytest.approx(
            {
                "val/shared_right": share,
                "val/shared_right_random": 0.5,
                "val/shared_right_oracle": 1.0,
            }
        )
