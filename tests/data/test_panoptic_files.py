"""Official result files: what is written is read back, and what disagrees is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.data.instance_files import read_instances, read_masks, write_instances
from segsuite.data.panoptic_files import (
    PanopticImage,
    decode_panoptic_png,
    maps_of_segments,
    read_panoptic_json,
    read_segments,
    segments_of_maps,
    write_panoptic_json,
    write_panoptic_png,
)
from tests.data.layouts import write_mask

TABLE = ClassTable(
    names=("road", "person", "car"),
    colors=distinct_colors(3),
    ids=(7, 24, 200),
    ignore=0,
    things=frozenset({1, 2}),
)
LABEL = np.array([[0, 0, 1, 1, 1, -1], [0, 2, 2, 2, 0, 0], [1, 1, 2, 2, 0, 0]])
INSTANCE = np.array([[5, 0, 9, 9, 70000, 3], [0, 4, 4, 4, 0, 0], [0, 0, 9, 9, 0, 0]], np.int32)


def write(folder: Path) -> Path:
    """A JSON file and its one PNG file of six segments."""
    ids, segments = segments_of_maps(LABEL, INSTANCE, TABLE, crowds=True)
    write_panoptic_png(folder / "a.png", ids)
    path = folder / "a.json"
    image = PanopticImage(1, "a.png", segments)
    write_panoptic_json(path, [image], TABLE, sizes={1: ids.shape})
    return path


def test_a_map_is_read_back_as_it_was_written(tmp_path):
    file = read_panoptic_json(write(tmp_path))
    image = file.images[1]
    assert file.sizes == {1: (3, 6)} and file.categories == {7: False, 24: True, 200: True}
    boxes = {(s.category, s.area, s.bbox, s.crowd) for s in image.segments}
    assert boxes == {
        (7, 7, (0, 0, 6, 3), False),
        (24, 2, (0, 2, 2, 1), True),
        (24, 2, (2, 0, 2, 1), False),
        (24, 1, (4, 0, 1, 1), False),
        (200, 3, (1, 1, 3, 1), False),
        (200, 2, (2, 2, 2, 1), False),
    }
    ids = read_segments(tmp_path, image, file)
    assert (ids[0, 5], ids.dtype, np.unique(ids).size) == (0, np.int32, 7)
    label, instance = maps_of_segments(ids, image.segments, TABLE)
    assert np.array_equal(label, LABEL)
    again = segments_of_maps(label, instance, TABLE, crowds=True)[0]
    assert (
        np.array_equal(again > 0, ids > 0) and len(set(zip(again.flat, ids.flat, strict=True))) == 7
    )
    assert not instance[label == 0].any() and not instance[2, :2].any(), "stuff and crowds"


def test_predicted_things_without_an_instance_are_no_segment():
    ids, segments = segments_of_maps(LABEL, INSTANCE, TABLE)
    assert not ids[2, :2].any() and len(segments) == 5
    nothing, none = segments_of_maps(np.full((2, 3), -1), np.zeros((2, 3)), TABLE)
    assert not nothing.any() and none == ()
    full, (one,) = segments_of_maps(np.zeros((2, 3), int), np.zeros((2, 3)), TABLE)
    assert (full == 1).all() and one.area == 6


def test_colours_are_ids_of_up_to_24_bits(tmp_path):
    ids = np.array([[0, 1, 255, 256], [65535, 65536, 2**24 - 1, 3]], np.int32)
    write_panoptic_png(tmp_path / "a.png", ids)
    assert np.array_equal(decode_panoptic_png(tmp_path / "a.png"), ids)
    assert Image.open(tmp_path / "a.png").getpixel((1, 1)) == (0, 0, 1)
    with pytest.raises(DataError, match=r"b\.png cannot hold the ids 0 to 16777216.*from 1"):
        write_panoptic_png(tmp_path / "b.png", np.array([[0, 2**24]]))


def edited(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def first(content: dict) -> list[dict]:
    return content["annotations"][0]["segments_info"]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c: first(c).pop(), r"a\.png holds the ids 6, which `segments_info` of image 1"),
        (lambda c: first(c).append({"id": 9, "category_id": 7}), "no pixel of the ids 9, which"),
        (lambda c: first(c)[1].update(id=1), r"lists the ids 1 twice; segments cannot overlap"),
        (lambda c: first(c)[1].update(area=5), r"segment 2 has 2 pixels, but .* `area: 5`"),
        (lambda c: first(c)[1].update(id=0), r"has the ids 0, where a colour can be 1 to 16777215"),
        (lambda c: first(c)[1].update(category_id=8), r"has the categories 8, which `categories`"),
        (lambda c: first(c)[1].update(id="x"), r"a\.json is no panoptic JSON: ValueError"),
        (
            lambda c: first(c)[1].pop("category_id"),
            r"KeyError 'category_id'; it needs",
        ),
        (lambda c: c["images"][0].update(width=7), r"is 3x6 \(height x width\), but .* says 3x7"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "lists the image_id 1 twice"),
        (lambda c: c.pop("annotations"), "KeyError 'annotations'"),
    ],
)
def test_files_that_disagree_are_named(tmp_path, change, said):
    path = write(tmp_path)
    edited(path, change)
    with pytest.raises(DataError, match=said):
        file = read_panoptic_json(path)
        read_segments(tmp_path, file.images[1], file)


def test_files_of_another_kind_are_refused(tmp_path):
    write_mask(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png has mode L, but the colours of a panoptic PNG"):
        decode_panoptic_png(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.json does not exist"):
        read_panoptic_json(tmp_path / "b.json")
    (tmp_path / "c.json").write_text('{"annotations": [')
    with pytest.raises(DataError, match=r"c\.json cannot be read as JSON"):
        read_panoptic_json(tmp_path / "c.json")
    with pytest.raises(DataError, match="categories 200, which the class table does not know"):
        _, segments = segments_of_maps(LABEL, INSTANCE, TABLE)
        maps_of_segments(LABEL, segments, ClassTable.load("cityscapes19"))


def test_instances_are_read_back_as_they_were_written(tmp_path):
    name, ids = "ulm_000000_000019_pred", [4, 9, 70000, 8]
    score = float(np.float32(0.1))
    path = write_instances(tmp_path, name, INSTANCE, ids, [26, 24, 24, 24], [0.5, score, 1, 0.2])
    found = read_instances(path)
    assert [i[1:] for i in found] == [(26, 0.5), (24, score), (24, 1.0)], "8 has no pixel"
    layers = read_masks(found, INSTANCE.shape)
    for number, instance in enumerate((4, 9, 70000)):
        assert np.array_equal(layers[number], (instance == INSTANCE) * (number + 1))
    with pytest.raises(DataError, match=r"000\.png is 3x6 \(height x width\), but its image 3x7"):
        read_masks(found, (3, 7))
    empty = write_instances(tmp_path, "ulm_000000_000020", INSTANCE, [], [], [])
    assert read_instances(empty) == [] and read_masks([], (3, 6)).shape == (0, 3, 6)


@pytest.mark.parametrize(
    "text, said",
    [
        ("a.png 26\n", r"line 1 of .*a\.txt is `a\.png 26` .*need `MASK\.png ID SCORE`"),
        ("a.png 26 nan\n", "no finite score"),
        ("a.png 26 1\n../b.png 26 1\n", r"line 2 of .* points to \.\./b\.png, outside of"),
        ("a.png 26 1\na.png 26 0.5\n", r"line 2 of .* tells of a\.png again"),
    ],
)
def test_lines_that_are_wrong_are_named(tmp_path, text, said):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        read_instances(tmp_path / "a.txt")
