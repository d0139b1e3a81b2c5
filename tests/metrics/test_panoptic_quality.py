"""Panoptic quality against its definition, the official evaluator, and a second one."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.data.panoptic_files import (
    PanopticImage,
    maps_of_segments,
    read_panoptic_json,
    read_segments,
    segments_of_maps,
    write_panoptic_json,
    write_panoptic_png,
)
from segsuite.metrics.panoptic_quality import PanopticQuality
from tests.metrics.official import official_panoptic
from tests.metrics.panoptic_maps import CLASSES, THINGS, Maps, drawn
from tests.reference.panoptic_quality_loops import means, panoptic_by_loops

TABLE = ClassTable(
    names=tuple("abcdefg"),
    colors=distinct_colors(CLASSES),
    ids=tuple(range(11, 11 + CLASSES)),
    ignore=0,
    things=THINGS,
)
COCO = Path(__file__).parents[3] / "shared/data/coco_samples"
CASES = {
    "void in both, and crowds": {},
    "no void": {"void": 0, "predicted_void": 0, "crowds": 0},
    "crowds alone": {"void": 0, "predicted_void": 0, "crowds": 1},
    "mostly void": {"void": 0.7, "predicted_void": 0.5},
    "nothing but void": {"void": 1, "predicted_void": 1},
    "no thing": {"instances": 0},
    "ids of 24 bits": {"ids": 2**24},
}


def counted(images: list[Maps], classes: int = CLASSES, things=THINGS) -> PanopticQuality:
    metric = PanopticQuality(num_classes=classes, things=things)
    for image in images:
        metric.update(*map(torch.from_numpy, image))
    return metric


def summary(metric: PanopticQuality) -> dict[str, float]:
    return {name: float(value) for name, value in metric.compute().summary().items()}


def written(root: Path, images: list[Maps], table: ClassTable = TABLE) -> tuple[Path, Path]:
    """The JSON files of truth and of predictions."""
    paths = []
    for name, maps in (("truth", slice(2, 4)), ("results", slice(0, 2))):
        entries, sizes = [], {}
        for number, image in enumerate(images):
            ids, segments = segments_of_maps(*image[maps], table, crowds=name == "truth")
            entries.append(PanopticImage(number, f"{number}.png", segments))
            sizes[number] = ids.shape
            write_panoptic_png(root / name / f"{number}.png", ids)
        paths.append(root / f"{name}.json")
        write_panoptic_json(paths[-1], entries, table, sizes=sizes)
    return paths[0], paths[1]


def official_summary(results: dict) -> dict[str, float]:
    groups = {"": "All", "_things": "Things", "_stuff": "Stuff"}
    return {
        f"{name}{group}": results[of][name]
        for group, of in groups.items()
        for name in ("pq", "sq", "rq")
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_figure_is_as_defined(case):
    images = [drawn(seed, **case) for seed in range(6)]
    scores = counted(images).compute()
    expected = panoptic_by_loops(images, THINGS)
    for c in range(CLASSES):
        for name in ("pq", "sq", "rq", "tp", "fp", "fn"):
            of_class = expected.get(c, {}).get(name, 0 if name in ("tp", "fp", "fn") else np.nan)
            found = float(getattr(scores, name)[c])
            assert found == pytest.approx(of_class, abs=1e-12, nan_ok=True), (c, name)
    found = {name: float(value) for name, value in scores.summary().items()}
    assert found == pytest.approx(means(expected, THINGS, CLASSES), abs=1e-12, nan_ok=True)


def test_made_up_images_have_what_the_rules_are_about():
    images = [drawn(seed) for seed in range(6)]
    scores = panoptic_by_loops(images, THINGS)
    assert all(sum(of[name] for of in scores.values()) > 3 for name in ("tp", "fp", "fn"))
    bare = [(p, i, np.where(t < 0, 6, t), np.where(j == 0, 999, j)) for p, i, t, j in images]
    assert panoptic_by_loops(bare, THINGS)[3]["fp"] > scores[3]["fp"], "no void, no crowds"


def test_equal_to_the_official_evaluator(tmp_path, capsys):
    images = [drawn(seed, size=(36, 48), instances=9) for seed in range(12)]
    expected = official_summary(official_panoptic(*written(tmp_path, images)))
    assert summary(counted(images)) == pytest.approx(expected, abs=1e-12)
    assert 0.05 < expected["pq_things"] < 0.95


def test_equal_to_hotcoco(tmp_path):
    hotcoco = pytest.importorskip("hotcoco")
    images = [drawn(seed, size=(36, 48), instances=9) for seed in range(12)]
    judge = hotcoco.panoptic.PanopticEval(*map(str, written(tmp_path, images)))
    judge.evaluate()
    assert summary(counted(images)) == pytest.approx(official_summary(judge.results()), abs=1e-12)


def test_processes_add_up_to_one():
    images = [drawn(seed, size=(36, 48), instances=9) for seed in range(7)]
    ours, theirs = counted(images[:3]), counted(images[3:])
    gathered = iter([theirs.iou, theirs.tp, theirs.fp, theirs.fn])
    ours.dist_sync_fn = lambda own, group: [own, next(gathered)]
    ours.distributed_available_fn = lambda: True
    assert summary(ours) == pytest.approx(summary(counted(images)), abs=1e-12)
    assert summary(ours)["pq_things"] > 0.05


def test_values_of_the_official_evaluator_that_can_be_checked_by_hand():
    """One image of one row; class 0 is stuff, 3 to 5 are things."""
    label = [0] * 8 + [3] * 4 + [3] * 5 + [-1] * 3 + [4] * 6 + [5] * 4
    instance = [0] * 8 + [1] * 4 + [2] * 5 + [0] * 3 + [0] * 6 + [7] * 4
    answer = [0] * 6 + [-1] * 2 + [3] * 4 + [3] * 4 + [4] * 7 + [5] * 1 + [5] * 6
    answered = [0] * 8 + [1] * 4 + [3] * 4 + [8] * 7 + [9] * 1 + [9] * 6
    image = tuple(np.array([values]) for values in (answer, answered, label, instance))
    scores = counted([image]).compute()
    # Stuff: 6 of 8, what is predicted void being missed. Things of class 3: 4 of 4 and 4 of 5. Of
    # the 7 pixels of class 4, 3 are on void and 3 on a crowd: neither right nor wrong. Of class 5,
    # 4 pixels of a union of 7, the crowd of another class being no excuse.
    assert scores.pq[[0, 3, 5]].tolist() == pytest.approx([0.75, 0.9, 4 / 7], abs=1e-12)
    assert scores.pq[[1, 2, 4, 6]].isnan().all()
    assert scores.tp.tolist() == [1, 0, 0, 2, 0, 1, 0] and not (scores.fp + scores.fn).any()
    found = {name: float(value) for name, value in scores.summary().items()}
    assert found["pq"] == pytest.approx(0.740476190, abs=1e-8)
    assert found["pq_things"] == pytest.approx(0.735714286, abs=1e-8)
    assert found["pq_stuff"] == 0.75 and found["rq"] == 1


def test_exactly_half_is_neither_a_match_nor_excused():
    half = torch.tensor([[0, 0, 0, 0]]), torch.zeros(1, 4, dtype=torch.int32)
    metric = PanopticQuality(num_classes=1, things=())
    metric.update(half[0], half[1], torch.tensor([[0, 0, -1, -1]]), half[1])
    assert metric.tp.tolist() == [1], "void leaves the union"
    metric.reset()
    metric.update(torch.tensor([[0, 0, -1, -1]]), half[1], half[0], half[1])
    assert (int(metric.tp), int(metric.fp), int(metric.fn)) == (0, 1, 1), "2 of a union of 4"


@pytest.mark.skipif(not COCO.is_dir(), reason="COCO's sample images are not here")
def test_real_images_equal_the_official_evaluator(tmp_path, capsys):
    truth = read_panoptic_json(COCO / "panoptic_examples.json")
    names = {c["id"]: c["name"] for c in json.loads(truth.source.read_text())["categories"]}
    ids = tuple(sorted(truth.categories))
    table = ClassTable(
        names=tuple(names[i] for i in ids),
        colors=distinct_colors(len(ids)),
        ids=ids,
        ignore=0,
        things=frozenset(c for c, i in enumerate(ids) if truth.categories[i]),
    )
    random = np.random.default_rng(0)
    images = []
    for image in truth.images.values():
        pixels = read_segments(COCO / "panoptic_examples", image, truth)
        label, instance = maps_of_segments(pixels, image.segments, table)
        answer, answered = (np.roll(values, (3, 5), axis=(0, 1)) for values in (label, instance))
        answered[np.isin(answer, list(table.things)) & (answered == 0)] = 5  # on crowds
        for dropped in random.choice(np.unique(answered), 4, replace=False):
            answer[answered == dropped], answered[answered == dropped] = ids.index(200), 0
        answer[random.random(answer.shape) < 0.02] = -1
        images.append((answer, answered, label, instance))
    metric = counted(images, len(table), table.things)
    results = written(tmp_path, images, table)[1]
    judged = tmp_path / "official.json"
    judged.write_text(truth.source.read_text())
    judged.with_suffix("").symlink_to(COCO / "panoptic_examples")
    entries = json.loads(results.read_text())
    for entry, image in zip(entries["annotations"], truth.images, strict=True):
        entry["image_id"] = image
    results.write_text(json.dumps(entries))
    expected = official_summary(official_panoptic(judged, results))
    assert summary(metric) == pytest.approx(expected, abs=1e-9)
    assert 0.3 < expected["pq"] < 0.9
    perfect = counted([(t, j, t, j) for _, _, t, j in images], len(table), table.things)
    assert summary(perfect)["pq"] == 1 and int(perfect.fp.sum()) == 0


def test_parts_of_a_data_set_add_up():
    images = [drawn(seed) for seed in range(4)]
    whole, (sums, rest) = counted(images), (counted(images[:1]), counted(images[1:]))
    for name in sums._defaults:
        setattr(sums, name, getattr(sums, name) + getattr(rest, name))
    found, expected = summary(sums), summary(whole)
    assert found == pytest.approx(expected, abs=1e-12) and torch.equal(sums.fp, whole.fp)


def test_images_without_anything_are_nan_and_not_an_error():
    metric = PanopticQuality(num_classes=2, things=[1])
    nothing = torch.full((4, 6), -1)
    metric.update(nothing, nothing * 0, nothing, nothing * 0)
    metric.update(*(torch.zeros(0, 6, dtype=torch.int64) for _ in range(4)))
    assert all(np.isnan(value) for value in summary(metric).values())
    assert set(summary(metric)) == set(official_summary_names())


def official_summary_names() -> list[str]:
    return [f"{name}{of}" for of in ("", "_things", "_stuff") for name in ("pq", "sq", "rq")]


def test_faster_than_sorting_the_pixels():
    image = [np.kron(values, np.ones((16, 16), values.dtype)) for values in drawn(0)]
    tensors, metric = [*map(torch.from_numpy, image)], counted([])

    def sort() -> None:
        answer, answered, label, instance = image
        np.unique((answer << 48) + (label << 40) + (answered.astype(np.int64) << 20) + instance)

    ours, theirs = [], []
    for _ in range(5):
        for seconds, function in ((ours, lambda: metric.update(*tensors)), (theirs, sort)):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    assert min(ours) < min(theirs), "alone on a machine: about a quarter"
