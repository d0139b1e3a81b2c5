"""Annotation files with something wrong are named, and nothing in them is lost without a word."""

import json
from pathlib import Path
from typing import Any

import pytest

from segsuite.core.errors import DataError
from segsuite.data.preparation.annotations import read_annotations
from segsuite.data.preparation.rasterise import drawable, unpacked
from tests.data.damaged_json import SIZE, fates, folder, reads_as_coco, reads_as_lvis, valid

pytest.importorskip("pycocotools")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder(tmp_path)


@pytest.mark.parametrize("reads", [reads_as_coco, reads_as_lvis])
def test_damaged_files_are_named_and_lose_nothing(root, reads):
    assert reads(root, json.dumps(valid())) is None, "the whole one is taken"
    found = fates(60, reads, root)  # a thousand: python -m tests.data.damaged_json 1000
    assert found["refused"] > 30 and found["taken"] > 3


def changed(section: str, place: int | None, key: str, value: Any) -> str:
    content = valid()
    if place is None:
        content[section] = value
    else:
        content[section][place][key] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("section", "place", "key", "value", "said"),
    [
        ("categories", None, "", 3, "`categories: 3` is no list"),
        ("categories", 2, "id", "3", "entry 2 of `categories`"),
        ("categories", 2, "id", 1, "entry 2 of `categories`: category 1 was there before"),
        (
            "images",
            1,
            "file_name",
            3,
            "entry 1 of `images`: image 2 has `file_name: 3`, where text",
        ),
        ("images", 1, "coco_url", 3, "image 2 has `coco_url: 3`"),
        ("images", 1, "coco_url", "http://a/../..jpg", "is no name of an image file"),
        ("images", 1, "id", 1, "entry 1 of `images`: image 1 was there before"),
        ("images", 1, "coco_url", "http://images/train2017/000000000001.jpg", "has the file of"),
        ("images", 1, "height", 2**30, "more than 1,073,741,824"),
        ("images", 1, "height", True, "no height and width above 0, but height: true"),
        ("annotations", 4, "image_id", [1], "annotation 14 has `image_id: [1]`, where a whole"),
        ("annotations", 4, "category_id", "3", "entry 4 of `annotations`: annotation 14 has"),
        ("annotations", 4, "category_id", 99, "is of category 99, which the file does not list"),
        ("annotations", 4, "id", 10, "entry 4 of `annotations`: annotation 10 was there before"),
        ("annotations", 4, "id", None, "annotation null has `id: null`"),
    ],
)
@pytest.mark.parametrize("reads", [reads_as_coco, reads_as_lvis])
def test_what_is_wrong_is_named_with_its_place(root, reads, section, place, key, value, said):
    found = reads(root, changed(section, place, key, value))
    assert found is not None and said in found and "annotations.json" in found


def test_whole_numbers_may_be_written_with_a_point_and_files_begin_with_a_mark(root):
    content = valid()
    for annotation in content["annotations"]:
        annotation["category_id"] = float(annotation["category_id"])
    path = root / "marked.json"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert sum(map(len, read_annotations(path, only={1, 3}).regions.values())) == 7


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": [' + "1" * 5000 + "]}", "", "\0"])
def test_text_that_is_no_json_is_refused(root, text):
    path = root / "odd.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"odd\.json is not whole JSON"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([1, 1, 9, 1, 9, 9], "it is a list of numbers; expected is a list of such lists"),
        ("P3P3", "neither a list of polygons nor run lengths"),
        ([[1, 1, 9, 1, 9, 9, 1]], "half a point"),
        ([[1, 1, 9, 1, 9, float("nan")]], "a coordinate that is no number"),
        ([[1, 1, 9, 1, 9, float("inf")]], "a coordinate that is no number"),
        ([[-9, 1, -5, 1, -5, 9]], "from (-9, 1) to (-5, 9) does not belong to an image of 4x4"),
        ([[1, 1, 5000, 1, 5000, 9]], "does not belong to an image of 4x4"),
        ([[0, 0, 4, 4] * 600_000], "has an outline of 4,800,000 pixels"),
        ([["a", "b"] * 3], "is no polygon"),
        ({"size": [2, 3], "counts": [6]}, "its mask is 2x3, but the image is 4x4"),
        ({"size": [4, 4], "counts": [6]}, "its runs cover 6 pixels, but the image has 16"),
        ({"size": [4, 4], "counts": [20, -4]}, "its run lengths cannot be read"),
        ({"size": [4, 4], "counts": [15, True]}, "its run lengths cannot be read"),
        ({"size": [4, 4], "counts": "\u0127"}, "its run lengths cannot be read"),
        ({"size": [4, 4]}, "its run lengths cannot be read"),
    ],
)
def test_geometry_is_refused_before_it_is_drawn(tmp_path, segmentation, said):
    content = valid() | {"annotations": [{**valid()["annotations"][0]}]}
    content["annotations"][0]["segmentation"] = segmentation
    path = tmp_path / "geometry.json"
    path.write_text(json.dumps(content))
    (region,) = read_annotations(path).regions[1]
    kept, faults = drawable(region.segmentation, (4, 4))
    assert kept is None and len(faults) == 1 and said in faults[0]


def test_an_outline_may_leave_its_image_a_little(tmp_path):
    content = valid()
    content["annotations"][0]["segmentation"] = [[-3, -3, 9, -3, 9, 9, -3, 9]]
    path = tmp_path / "beyond.json"
    path.write_text(json.dumps(content))
    region = read_annotations(path).regions[1][0]
    kept, faults = drawable(region.segmentation, SIZE)
    assert kept is region.segmentation and not faults


def test_text_beyond_ascii_is_no_run_length():
    assert unpacked("P3P3") is not None and unpacked("P3P\u0127") is None
