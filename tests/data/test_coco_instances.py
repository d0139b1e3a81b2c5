"""COCO's instances straight from the JSON: made-up trees in the official layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segsuite.core.build import build
from segsuite.core.errors import DataError
from segsuite.data.checks.inspection import report
from segsuite.data.checks.verify import inspected
from segsuite.data.class_table import ClassTable
from segsuite.data.readers import coco_instances
from segsuite.data.readers.coco_instances import CocoInstances
from segsuite.engine.launch.entry_point import compose
from tests.data.layouts import write_image
from tests.data.test_decode import write_tagged
from tests.data.test_preparation import SIZE, annotation, run_lengths, square

pytest.importorskip("pycocotools")

TABLE = ClassTable.load("coco9")
PERSON, CAR, DOG, TRAIN, METER = 1, 3, 18, 7, 14
FILE = "annotations/instances_train2017.json"
RIGHT = run_lengths(np.arange(16)[None].repeat(12, 0) >= 8)
"""The right half, 96 pixels."""

ANNOTATIONS = [
    annotation(10, 1, PERSON, square(0, 0, 6)),
    annotation(11, 1, CAR, square(3, 3, 6)),  # over the person's corner
    annotation(12, 1, DOG, square(0, 0, 12)),  # not a class here
    {**annotation(13, 2, METER, RIGHT), "iscrowd": 1},
    annotation(14, 3, TRAIN, [*square(0, 0, 3), *square(8, 8, 4)]),  # 9 + 16 pixels in two parts
    annotation(15, 4, DOG, square(0, 0, 9)),
    annotation(16, 5, CAR, square(0, 0, 4)),
    annotation(17, 5, CAR, square(0, 0, 4)),  # again the same 16 pixels
]


def write(root: Path, annotations: list[dict] = ANNOTATIONS, **more: Any) -> Path:
    images = [
        {"id": n, "height": SIZE[0], "width": SIZE[1], "file_name": f"{n:012d}.jpg"}
        | {"coco_url": f"http://images/train2017/{n:012d}.jpg"}
        for n in range(1, 7)
    ]
    categories = [{"id": i, "name": "x"} for i in (1, 2, 3, 4, 6, 7, 8, 13, 14, 18)]
    content = {"images": images, "annotations": annotations, "categories": categories, **more}
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(json.dumps(content))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(1, 7):
        write_image(tmp_path / "train2017" / f"{number:012d}.jpg", SIZE, seed=number)
    return write(tmp_path)


def opened(root: Path, *, least: int = 1, strict: bool = True, **how: Any) -> Any:
    reader = CocoInstances(
        annotations="annotations/instances_{split}.json",
        images="{split}/{id}.jpg",
        splits={"train": "train2017"},
        least=least,
        **how,
    )
    return reader.open("train", root=root, classes=TABLE, instances=False, strict=strict)


def test_later_annotations_cover_earlier_ones_and_the_rest_is_background(root):
    first = opened(root)[0]
    expected = np.zeros(SIZE, int)
    expected[0:6, 0:6] = TABLE.names.index("person")
    expected[3:9, 3:9] = TABLE.names.index("car")
    assert first.id == "000000000001" and first.image.shape == (3, *SIZE)
    assert (first.label.numpy() == expected).all()  # without a pixel that is ignored


def test_crowds_are_painted_and_parts_belong_together(root):
    samples = opened(root)
    crowd, parts = samples[1].label, samples[2].label
    assert (crowd[:, 8:] == 9).all() and (crowd[:, :8] == 0).all()
    assert (parts == TABLE.names.index("train")).sum() == 9 + 16


@pytest.mark.parametrize(
    ("least", "kept"), [(1, [1, 2, 3, 5]), (16, [1, 2, 3, 5]), (17, [1, 2, 3]), (64, [2]), (97, [])]
)
def test_images_with_too_little_are_left_out(root, least, kept):
    """63 pixels of image 1, as two squares overlap by 9; 96, 25 and 16 of images 2, 3 and 5."""
    if not kept:
        with pytest.raises(DataError, match="split `train` is empty"):
            opened(root, least=least)
    else:
        assert opened(root, least=least).numbers == kept


def test_what_is_kept_is_counted_once(root, monkeypatch):
    opened(root, least=20)
    counts = []
    covered = coco_instances.covered
    monkeypatch.setattr(coco_instances, "covered", lambda *a: counts.append(a) or covered(*a))
    assert opened(root, least=64).numbers == [2] and not counts
    write(root, ANNOTATIONS[1:])
    assert opened(root, least=25).numbers == [1, 2, 3] and len(counts) == 4


def test_the_known_number_may_be_of_those_with_more_only(root):
    assert len(opened(root, least=16, expected={"train": 3})) == 4  # one has 16 exactly
    assert len(opened(root, least=16, expected={"train": 4})) == 4
    with pytest.raises(DataError, match=r"4 images have 16 pixels .* the data set has 5"):
        opened(root, least=16, expected={"train": 5})
    assert len(opened(root, least=16, expected={"train": 5}, strict=False)) == 4


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (annotation(99, 1, CAR, [[1, 1, 5, 5]]), "annotation 99 of image 1: a polygon of 2 points"),
        (annotation(99, 1, CAR, []), "annotation 99 of image 1: it has no polygon"),
        (annotation(99, 8, CAR, square(0, 0, 3)), "annotation 99 is of image 8, which the file"),
        (annotation(99, 2, CAR, {"size": [3, 3], "counts": [9]}), "its mask is 3x3, but the image"),
    ],
)
def test_annotations_that_cannot_be_drawn(root, faulty, said):
    write(root, [*ANNOTATIONS, faulty])
    with pytest.raises(DataError) as caught:
        opened(root)
    message = str(caught.value)
    assert said in message and str(root / FILE) in message and "data.strict=false" in message
    samples = opened(root, strict=False)
    assert samples.numbers == [1, 2, 3, 5] and len(samples.gaps) == 1


def test_an_annotation_keeps_its_other_polygons(root):
    write(root, [*ANNOTATIONS, annotation(99, 4, CAR, [*square(0, 0, 5), [7, 7, 8, 8]])])
    with pytest.raises(DataError, match=r"annotation 99 of image 4: a polygon of 2 points"):
        opened(root)
    samples = opened(root, strict=False)
    assert samples.numbers == [1, 2, 3, 4, 5] and len(samples.gaps) == 1
    assert (samples[3].label == TABLE.names.index("car")).sum() == 25


def test_files_that_are_absent_or_wrong(root):
    image = root / "train2017" / f"{2:012d}.jpg"
    write_image(image, (10, 16))
    with pytest.raises(DataError, match=r"0002\.jpg is 10x16, but .*json: image 2 is 12x16"):
        opened(root)[1]
    assert "is 10x16, but" in opened(root).inspect(1).fault
    write_tagged(image, np.zeros((12, 16, 3), np.uint8), 6)
    with pytest.raises(DataError, match=r"0002\.jpg is 16x12, but .* its EXIF orientation turns"):
        opened(root)[1]
    image.unlink()
    with pytest.raises(DataError, match=r"json: of image 2 there is no image `000000000002`"):
        opened(root)
    assert opened(root, strict=False).numbers == [1, 3, 5]
    (root / FILE).unlink()
    with pytest.raises(DataError, match=r"no annotation file .*train2017/\*\.jpg"):
        opened(root)
    with pytest.raises(DataError, match=r"is not a folder.*cocodataset"):
        opened(root / "nowhere", source="https://cocodataset.org")


def test_another_table_is_told_by_its_ids(root):
    write(root, categories=[{"id": 1, "name": "person"}])
    with pytest.raises(DataError, match=r"lists no category 2, which the class table has"):
        opened(root)


def test_the_checks_of_all_data_sets_know_it(root):
    samples = opened(root)
    facts = inspected(samples)
    assert [fact.counts for fact in facts] == [samples.inspect(i).counts for i in range(4)]
    figures = report("train", samples, TABLE, drawn=0)
    assert figures.ok and figures.ignored == 0 and figures.occurrence.ids[METER] == 96
    assert samples.only([2, 0]).ids == ["000000000003", "000000000001"]
    assert (samples.only([2, 0])[1].label == samples[0].label).all()


def test_the_config_is_the_papers(root):
    cfg = compose("train", ["data=coco9", f"data.root={root}"])
    assert cfg.data.num_classes == 10 and cfg.data.reader.least == 1000
    assert cfg.data.reader.expected == {"train": 69_795, "val": 2_956}
    assert TABLE.ids == (0, 1, 2, 3, 4, 6, 7, 8, 13, 14) and TABLE.ignore is None
    reader = build(cfg.data, path="data")
    with pytest.raises(DataError, match=r"0 images have 1000 pixels .* has 69795 of them"):
        reader.open("train", strict=True)
