"""Cityscapes' scores against the definition, and against the official evaluator where it is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segsuite.core.build import build
from segsuite.core.errors import ConfigError, DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.decode import decode_mask
from segsuite.data.readers.instance_files import ThingNumbers
from segsuite.engine.launch.entry_point import compose
from segsuite.metrics.cityscapes import CityscapesIoU, CityscapesScores
from tests.data.cityscapes import ABSENT, EVALUATED, frame
from tests.data.layouts import write_mask
from tests.metrics.official import official_scores
from tests.reference.cityscapes_loops import scores_by_loops

TABLE = ClassTable.load("cityscapes19")


@pytest.fixture(scope="module")
def report():
    """The callback of `scores=cityscapes`, which holds the facts."""
    cfg = compose("evaluate", ["scores=cityscapes"])
    cfg.run.folder = "somewhere"
    return build(cfg.scores, path="scores")


def counted(metric: CityscapesIoU, frames, *, instances: bool = True) -> CityscapesScores:
    for predicted, label, instance in frames:
        metric.update(*as_tensors(predicted, label, instance)[: 3 if instances else 2])
    return metric.compute()


def as_tensors(predicted, label, instance) -> tuple[torch.Tensor, ...]:
    """What the readers make of the files."""
    numbers = [torch.from_numpy(TABLE.labels(raw, "x")).long() for raw in (predicted, label)]
    instance = np.where(instance >= 1000, instance, 0).astype(np.int32)
    return (*numbers, torch.from_numpy(instance))


def by_name(report, scores: CityscapesScores) -> dict[str, dict]:
    categories = list(report.categories)
    return {
        "iou": dict(zip(TABLE.ids, scores.iou.tolist(), strict=True)),
        "iiou": dict(zip(TABLE.ids, scores.iiou.tolist(), strict=True)),
        "category_iou": dict(zip(categories, scores.category_iou.tolist(), strict=True)),
        "category_iiou": dict(zip(categories, scores.category_iiou.tolist(), strict=True)),
    }


@pytest.mark.parametrize("void", [False, True])
def test_every_figure_is_as_defined(report, void):
    frames = [frame(seed, void=void) for seed in range(3)]
    number = dict(zip(TABLE.names, TABLE.ids, strict=True))
    categories = {n: [number[c] for c in its] for n, its in report.categories.items()}
    sizes = {number[name]: size for name, size in report.average_sizes.items()}
    expected = scores_by_loops(frames, categories, sizes)
    found = by_name(report, counted(report.metric(TABLE), frames))
    for kind, figures in expected.items():
        for key, value in figures.items():
            assert found[kind][key] == pytest.approx(value, abs=1e-12, nan_ok=True), (kind, key)
    assert set(expected["category_iiou"]) == {"human", "vehicle"}
    assert np.isnan(found["iiou"][7]) and np.isnan(found["category_iiou"]["flat"])
    assert np.isnan(found["iou"][ABSENT[-1]]) and found["iou"][ABSENT[0]] == 0


@pytest.mark.parametrize("void", [False, True])
def test_equal_to_the_official_evaluator(report, tmp_path, monkeypatch, void):
    files = []
    for number in range(4):
        name = f"ulm_000000_{number:06}"
        files.append((tmp_path / f"{name}.png", tmp_path / f"{name}_gtFine_labelIds.png"))
        paths = (*files[-1], tmp_path / f"{name}_gtFine_instanceIds.png")
        for path, raw in zip(paths, frame(10 + number, void=void), strict=True):
            write_mask(path, raw)
    official = official_scores(files, monkeypatch)
    metric, marks = report.metric(TABLE), ThingNumbers(pattern="")
    for prediction, label in files:
        instances = marks.decode(Path(str(label).replace("labelIds", "instanceIds")))
        raw = decode_mask(prediction), decode_mask(label), instances
        metric.update(*as_tensors(*raw))
    scores = metric.compute()
    found = by_name(report, scores)
    for theirs, ours, names in (
        ("classScores", "iou", dict(zip(TABLE.ids, TABLE.names, strict=True))),
        ("classInstScores", "iiou", dict(zip(TABLE.ids, TABLE.names, strict=True))),
        ("categoryScores", "category_iou", {n: n for n in report.categories}),
        ("categoryInstScores", "category_iiou", {n: n for n in report.categories}),
    ):
        for key, name in names.items():
            expected = official[theirs][name]
            assert found[ours][key] == pytest.approx(expected, abs=1e-9, nan_ok=True), (ours, name)
    means = {name: float(value) for name, value in scores.summary().items()}
    assert means == pytest.approx(
        {
            "class_iou": official["averageScoreClasses"],
            "class_iiou": official["averageScoreInstClasses"],
            "category_iou": official["averageScoreCategories"],
            "category_iiou": official["averageScoreInstCategories"],
        },
        abs=1e-9,
    )


def test_without_instances_there_is_no_iiou(report):
    frames = [frame(0)]
    with_them, without = (
        counted(report.metric(TABLE), frames, instances=given) for given in (True, False)
    )
    assert torch.equal(with_them.iou.nan_to_num(-1), without.iou.nan_to_num(-1))
    assert without.iiou.isnan().all() and set(without.summary()) == {"class_iou", "category_iou"}


def test_parts_of_a_data_set_add_up(report):
    frames = [frame(seed) for seed in range(4)]
    whole, parts = report.metric(TABLE), [report.metric(TABLE) for _ in range(2)]
    expected = counted(whole, frames)
    for part, some in zip(parts, (frames[:1], frames[1:]), strict=True):
        counted(part, some)
    sums, rest = parts
    for name in sums._defaults:
        setattr(sums, name, getattr(sums, name) + getattr(rest, name))
    sums._computed = None  # it remembers
    found = sums.compute()
    for name in ("iou", "iiou", "category_iou", "category_iiou"):
        assert torch.allclose(getattr(found, name), getattr(expected, name), equal_nan=True)


def test_instance_ids_of_another_kind_are_an_error(report):
    predicted, label, instance = as_tensors(*frame(0))
    with pytest.raises(DataError, match=r"instance id 3 holds no class.*data\.instances=false"):
        report.metric(TABLE).update(predicted, label, torch.where(instance > 0, 3, 0).int())


def test_other_classes_are_refused(report):
    with pytest.raises(ConfigError, match=r"`Bicyclist` is in no category of scores\.categories"):
        report.metric(ClassTable.load("camvid11"))
    assert len(EVALUATED) == len(TABLE)
