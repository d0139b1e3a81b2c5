"""Masks and files of instances become one pair of maps: Cityscapes, ADE20K and scenes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segsuite.core.build import build
from segsuite.core.errors import DataError
from segsuite.core.labels import IGNORE
from segsuite.data.checks.segment_counts import segment_counts
from segsuite.data.checks.verify import inspected, verified
from segsuite.data.class_table import ClassTable
from segsuite.data.segments import Segments, segments_of
from segsuite.engine.launch.entry_point import compose
from tests.data.cityscapes import EVALUATED, frame
from tests.data.layouts import mask_of, write_image, write_mask

ADE = ClassTable.load("ade20k150")
WALL, BED, WINDOW = 1, 8, 9  # the last two are things 1 and 2


def built(name: str, root: Path, *typed: str) -> Any:
    cfg = compose("train", [f"data={name}", f"data.root={root}", *typed])
    return build(cfg.data, path="data")


def opened(name: str, root: Path, *typed: str) -> Any:
    return built(name, root, "data.instances=true", *typed).open("val", strict=False)


def stripes(size: tuple[int, int], *colors: tuple[int, int, int]) -> np.ndarray:
    """(H, W, 3) upright stripes of colours."""
    return np.array(colors, np.uint8)[mask_of([*range(len(colors))], size)]


def ade20k(root: Path, mask: np.ndarray, marks: np.ndarray) -> Path:
    for name in ("validation/ADE_val_00000001",):
        write_image(root / f"images/{name}.jpg", mask.shape)
        write_mask(root / f"annotations/{name}.png", mask)
        write_mask(root / f"annotations_instance/{name}.png", marks)
    return root


def test_the_nth_thing_of_ade20ks_table_is_class_n_of_its_instances() -> None:
    """specs/classes/ade20k150.json, which has Mask2Former's table."""
    things = [ADE.ids[c] for c in sorted(ADE.things)]
    assert len(things) == 100 and sum(things) == 8131
    assert [things[n - 1] for n in (1, 2, 5, 50, 100)] == [8, 9, 15, 81, 150]


def official(instance: np.ndarray) -> dict[tuple[int, int], tuple[int, bool]]:
    """By (class, instance), the pixels and whether it is a crowd: csCreatePanopticImgs' rules."""
    things, found = (24, 25, 26, 27, 28, 31, 32, 33), {}
    for number in np.unique(instance).tolist():
        raw = number // 1000 if number >= 1000 else number
        if raw in EVALUATED:
            crowd = number < 1000 and raw in things
            key = (EVALUATED.index(raw), number if number >= 1000 else 0)
            found[key] = (int((instance == number).sum()), crowd)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_cityscapes_pairs_are_the_official_segments(tmp_path: Path, seed: int) -> None:
    _, label, instance = frame(seed, (40, 60))
    label, instance = label[4:], instance[4:]  # without the corner in which the two disagree
    name = "val/ulm/ulm_000000_000000"
    write_image(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", label.shape)
    write_mask(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", label)
    write_mask(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", instance)
    samples = opened("cityscapes", tmp_path)
    got, things = samples[0], samples.classes.things
    pairs = torch.stack([got.label.long(), got.instances.long()], -1).view(-1, 2)
    of_class = pairs[pairs[:, 0] != IGNORE]
    pairs, pixels = of_class.unique(dim=0, return_counts=True)
    found = {
        (c, i): (count, c in things and i == 0)
        for (c, i), count in zip(pairs.tolist(), pixels.tolist(), strict=True)
    }
    assert found == official(instance)
    assert any(crowd for _, crowd in found.values()) and any(i for _, i in found)
    ignored = np.isin(instance // 1000, (29, 30)) | (instance < 7)
    assert ignored.any() and (got.label[torch.from_numpy(ignored)] == IGNORE).all()
    assert samples.inspect(0).segments.mixed == ()


NAME = "val/ulm/ulm_000000_000000"


def cityscapes(root: Path, label: np.ndarray, instance: np.ndarray, *typed: str) -> Any:
    write_image(root / f"leftImg8bit/{NAME}_leftImg8bit.png", label.shape)
    write_mask(root / f"gtFine/{NAME}_gtFine_labelIds.png", label)
    write_mask(root / f"gtFine/{NAME}_gtFine_instanceIds.png", instance.astype(np.uint16))
    return opened("cityscapes", root, *typed)


def test_instance_ids_of_another_frame_are_refused(tmp_path: Path) -> None:
    label = frame(0)[1]
    samples = cityscapes(tmp_path, label, frame(1)[2])
    said = r"ulm_000000_000000_gtFine_instanceIds\.png: \d+\.\d% of the pixels .*_labelIds\.png "
    with pytest.raises(DataError, match=said):
        samples[0]
    fault = samples.inspect(0).fault
    assert "of another class in" in fault and "data.reader.instances.tolerance=1" in fault
    with pytest.raises(DataError, match="1 of 1 samples are faulty"):
        verified(samples, samples.classes, folder=tmp_path / "known")

    other = cityscapes(tmp_path, label, frame(1)[2], "data.reader.instances.tolerance=1")
    assert other[0].instances.any() and other.inspect(0).fault is None
    assert other.key != samples.key, "what is remembered of one is not taken for the other"


@pytest.mark.parametrize(("columns", "fine"), [(2, True), (3, False)])
def test_a_few_percent_of_the_pixels_of_instances_may_be_of_another_class(
    tmp_path: Path, columns: int, fine: bool
) -> None:
    """Of 40 columns of persons the mask says of some that they are road (7), of 10 nothing (0)."""
    label = np.full((24, 60), 7, np.uint8)
    instance = np.full((24, 60), 7)
    label[:, 10:50], instance[:, 10:50] = 24, 24_001
    label[:, 10 : 10 + columns], label[:, 40:50] = 7, 0
    samples = cityscapes(tmp_path, label, instance)
    fault = samples.inspect(0).fault
    if fine:
        assert fault is None and (samples[0].label >= 0).any()
    else:
        assert "7.5% of the pixels" in fault and "(up to 5% is expected)" in fault
        assert "such as instance 24001, of class 24, where the mask says 7" in fault


def test_files_of_classes_hold_no_instance_and_no_disagreement(tmp_path: Path) -> None:
    label = frame(0)[1]
    samples = cityscapes(tmp_path, label, label)
    assert samples.inspect(0).fault is None, "an image may have crowds alone"
    assert not samples[0].instances.any()


def test_instance_ids_of_another_size_are_named_with_what_to_expect(tmp_path: Path) -> None:
    _, label, instance = frame(0)
    name = "val/ulm/ulm_000000_000000"
    write_image(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", label.shape)
    write_mask(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", label)
    write_mask(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", instance[:-4])
    samples = opened("cityscapes", tmp_path)
    with pytest.raises(DataError, match=r"instanceIds\.png is 20x40, but its mask is 24x40"):
        samples[0]
    assert "is 20x40, but its mask is 24x40" in samples.inspect(0).fault


def test_ade20k_paints_things_over_and_voids_those_without_an_instance(tmp_path: Path) -> None:
    mask = mask_of([0, WALL, BED, BED, WINDOW, WALL])
    none, bed = (0, 0, 0), (1, 5, 9)
    marks = stripes(mask.shape, none, none, bed, none, (2, 7, 0), (2, 8, 0))
    root = ade20k(tmp_path, mask, marks)
    samples = opened("ade20k", root)
    got = samples[0]
    wall, bed, window = ADE.ids.index(WALL), ADE.ids.index(BED), ADE.ids.index(WINDOW)
    row = [(-1, 0), (wall, 0), (bed, 1005), (-1, 0), (window, 2007), (window, 2008)]
    columns = mask_of([*range(6)])[0]
    assert got.label[0].tolist() == [row[c][0] for c in columns]
    assert got.instances[3].tolist() == [row[c][1] for c in columns]
    facts = samples.inspect(0)
    assert facts.fault is None and facts.segments == Segments(
        {BED: 1, WINDOW: 2}, (0, WALL), (), pixels=84, repainted=24
    ), "of the last stripe the mask says that it is a wall"
    assert facts.counts[BED] == (columns == 2).sum() * 12, "what is counted is what is read"

    (_, repainted) = segment_counts(samples.ids, [facts], ADE).remarks(ADE)
    assert repainted.startswith("28.57% of the pixels of instances are of another class")

    kept = opened("ade20k", root, "data.reader.instances.lone=crowd")
    assert kept[0].label[0].tolist() == [bed if c == 3 else row[c][0] for c in columns]
    assert kept.key != samples.key, "what is remembered of one is not taken for the other"
    semantic = built("ade20k", root).open("val", strict=False)
    assert semantic[0].instances is None and semantic.inspect(0).segments is None
    raw = torch.from_numpy(ADE.labels(mask, "mask"))
    assert torch.equal(semantic[0].label, raw), "in the semantic task they stay"


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (mask_of([0, 5]), "has mode L, but files of instances hold the thing's class in red"),
        (stripes((12, 16), (0, 5, 0)), r"instance 5 \(green\) has red 0"),
        (stripes((12, 16), (101, 5, 0)), r"a thing of class 101 \(red\), but .* has 100 things"),
    ],
)
def test_files_that_are_none_of_ade20ks_instances(tmp_path: Path, marks: Any, said: str) -> None:
    samples = opened("ade20k", ade20k(tmp_path, mask_of([WALL, BED]), marks))
    with pytest.raises(DataError, match=rf"annotations_instance.*00000001\.png.*{said}"):
        samples[0]
    assert "annotations_instance" in samples.inspect(0).fault


@pytest.mark.parametrize("classes", [19, 60])
def test_scenes_are_panoptic_pairs(classes: int) -> None:
    """Each instance is of one class, and the things of the table, no others, have instances."""
    typed = ["data=scenes", f"data.num_classes={classes}", "data.crop_size=[64,96]"]
    data = build(compose("train", [*typed, "data.instances=true"]).data, path="data")
    samples = data.open("train", strict=True)
    things = torch.tensor(sorted(samples.classes.things))
    found = set()
    for index in range(20):
        sample = samples[index]
        label, ids = sample.label, sample.instances
        assert ids.dtype == torch.int32 and ids.min() >= 0
        assert torch.equal(ids > 0, torch.isin(label, things))
        pairs = torch.stack([ids, label], -1)[ids > 0].unique(dim=0)
        assert len(pairs) == len(pairs[:, 0].unique()), "an id of two classes"
        facts = samples.inspect(index)
        assert sum(facts.segments.instances.values()) == len(pairs) and not facts.segments.mixed
        found |= set(pairs[:, 1].tolist())
    assert len(found) > 5


def test_segments_are_those_of_a_loop_and_are_remembered(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for size in ((1, 1), (7, 9), (0, 4)):
        raw = random.integers(0, 5, size, dtype=np.uint8)
        ids = random.integers(0, 4, size, dtype=np.int32)
        pairs = set(zip(raw.ravel().tolist(), ids.ravel().tolist(), strict=True))
        on = {i: {r for r, j in pairs if j == i} for i in {j for _, j in pairs if j}}
        counts = {r: n for r in range(5) if (n := sum(r in its for its in on.values()))}
        loose = tuple(sorted(r for r, i in pairs if not i))
        mixed = tuple(sorted(i for i, its in on.items() if len(its) > 1))
        assert segments_of(raw, ids) == Segments(counts, loose, mixed, int((ids > 0).sum()))

    marks = stripes((12, 16), (0, 0, 0), (1, 5, 9))
    samples = opened("ade20k", ade20k(tmp_path, mask_of([WALL, BED]), marks))
    first = inspected(samples, folder=tmp_path / "known")
    object.__setattr__(samples, "read_mask", None)  # so that nothing can be read again
    assert inspected(samples, folder=tmp_path / "known") == first
    assert first[0].segments == Segments({BED: 1}, (WALL,), (), pixels=96)
