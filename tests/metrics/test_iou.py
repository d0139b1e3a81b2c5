import time

import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from segsuite.metrics.iou import MeanIoU
from tests.reference.iou_loops import iou_by_loops


def maps(*, classes: int, pixels: int = 4000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and labels with ignored pixels and classes that are absent."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, max(classes - 2, 1), (pixels,), generator=random)
    predictions = torch.where(
        torch.rand(pixels, generator=random) < 0.6,
        labels,
        torch.randint(0, max(classes - 1, 1), (pixels,), generator=random),
    )
    labels[torch.rand(pixels, generator=random) < 0.1] = -1
    return predictions, labels


@pytest.mark.parametrize("classes", [2, 7, 300])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_figure_is_as_defined(classes, seed):
    predictions, labels = maps(classes=classes, seed=seed)
    metric = MeanIoU(num_classes=classes)
    metric.update(predictions, labels)
    for name, expected in iou_by_loops(predictions, labels, classes).items():
        assert metric.compute().summary()[name].item() == pytest.approx(expected, abs=1e-12), name


def test_absent_classes_are_left_out_and_nan_in_the_table():
    metric = MeanIoU(num_classes=5)
    metric.update(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 0, 0, -1]))
    scores = metric.compute()
    assert scores.iou.isnan().tolist() == [False, False, True, True, True]
    assert scores.miou.item() == pytest.approx((2 / 3 + 0) / 2)


def test_agrees_with_torchmetrics_where_all_classes_are_present():
    predictions, labels = maps(classes=9)
    predictions[:9], labels[:9] = torch.arange(9), torch.arange(9)
    metric = MeanIoU(num_classes=9)
    metric.update(predictions, labels)
    theirs = MulticlassJaccardIndex(num_classes=9, ignore_index=-1)
    assert metric.compute().miou.item() == pytest.approx(
        theirs(predictions, labels).item(), abs=1e-6
    )


def test_parts_in_any_order_give_the_same_bits_and_deterministic_mode_changes_nothing():
    predictions, labels = maps(classes=20)
    whole, parts = MeanIoU(num_classes=20), MeanIoU(num_classes=20)
    whole.update(predictions, labels)
    torch.use_deterministic_algorithms(True)
    try:
        for part in torch.randperm(4000).split([1, 3000, 999]):
            parts.update(predictions[part], labels[part])
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(whole.compute().iou.nan_to_num(-1), parts.compute().iou.nan_to_num(-1))


def test_a_hundred_thousand_classes_fit():
    metric = MeanIoU(num_classes=100_000)
    metric.update(torch.tensor([99_999, 5]), torch.tensor([99_999, 4]))
    assert metric.compute().miou.item() == pytest.approx(1 / 3)


def test_everything_ignored_is_nan_and_not_an_error():
    metric = MeanIoU(num_classes=3)
    metric.update(torch.tensor([0, 1]), torch.tensor([-1, -1]))
    assert metric.compute().miou.isnan()


def test_no_slower_than_a_bincount_of_a_confusion_matrix():
    classes = 150
    predictions, labels = maps(classes=classes, pixels=512 * 512)
    metric = MeanIoU(num_classes=classes)

    def confusion() -> None:
        counted = labels >= 0
        index = labels[counted] * classes + predictions[counted]
        torch.bincount(index, minlength=classes**2)

    ours, theirs = [], []
    for _ in range(15):
        for seconds, function in (
            (ours, lambda: metric.update(predictions, labels)),
            (theirs, confusion),
        ):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    assert min(ours) < 1.2 * min(theirs)  # alone on a machine: about a fifth


def test_groups_of_classes_have_a_mean_of_their_own():
    metric = MeanIoU(num_classes=4)
    metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 2]))
    scores = metric.compute()  # IoU: 1, 1/2, 0, absent
    found = scores.group_mious(("many", "few", "few", "none"))
    assert found["miou_many"] == 1 and found["miou_few"] == 0.25
    assert found["miou_none"].isnan()
    assert scores.group_mious(()) == {}
