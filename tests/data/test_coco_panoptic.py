"""COCO panoptic: made-up trees in the official layout, and two real images of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segsuite.core.build import build
from segsuite.core.errors import DataError
from segsuite.core.labels import IGNORE
from segsuite.data.checks.verify import inspected
from segsuite.data.class_table import ClassTable
from segsuite.data.panoptic_files import decode_panoptic_png
from segsuite.data.preparation import segments_info
from segsuite.data.readers.coco_panoptic import CocoPanoptic
from segsuite.data.readers.mask_values import MaskReader
from segsuite.data.segments import Segments
from segsuite.engine.launch.entry_point import compose
from tests.data.layouts import mask_of, write_mask
from tests.data.panoptic_trees import (
    ABOVE,
    BELOW,
    CROWD,
    DOG,
    GRASS,
    KINDS,
    MAPS,
    ONE,
    OTHER,
    PERSON,
    PET,
    SIZE,
    SKY,
    TABLE,
    Change,
    coco_panoptic,
    colored,
    content,
    map_of,
    write_json,
)

REAL = Path(__file__).parents[3] / "shared/data/coco_samples"
PNG = "panoptic_val2017/{:012d}.png"


def opened(root: Path, *, table: ClassTable = TABLE, **how: Any) -> Any:
    options = {"instances": True, "strict": True}
    options.update({key: how.pop(key) for key in list(how) if key in options})
    reader = CocoPanoptic(
        annotations="annotations/panoptic_{split}.json",
        images="{split}/{id}.jpg",
        masks="panoptic_{split}/{id}.png",
        splits={"val": "val2017"},
        **how,
    )
    return reader.open("val", root=root, classes=table, **options)


def test_pairs_are_what_the_json_tells_of_each_pixel(tmp_path: Path) -> None:
    samples = opened(coco_panoptic(tmp_path), expected={"val": 3})
    assert samples.ids == [f"{n:012d}" for n in MAPS]
    for index, ids in enumerate(MAPS.values()):
        sample = samples[index]
        assert sample.image.shape == (3, *SIZE) and sample.instances.dtype == torch.int32
        for (row, column), segment in np.ndenumerate(ids):
            kind = TABLE.ids.index(KINDS[segment]) if segment else IGNORE
            counted = segment if segment in (ONE, OTHER, PET) else 0
            assert sample.label[row, column] == kind
            assert sample.instances[row, column] == counted
    person = TABLE.ids.index(PERSON)
    crowd = (samples[0].label == person) & (samples[0].instances == 0)
    assert torch.equal(crowd, torch.from_numpy(MAPS[1] == CROWD)), "things that are not told apart"


def test_without_instances_the_labels_are_the_same(tmp_path: Path) -> None:
    root = coco_panoptic(tmp_path)
    semantic, panoptic = opened(root, instances=False), opened(root)
    assert semantic.key != panoptic.key, "what is remembered of one is not taken for the other"
    assert semantic.inspect(0).segments is None and semantic[0].instances is None
    for index in range(3):
        assert torch.equal(semantic[index].label, panoptic[index].label)
        assert semantic.inspect(index).counts == panoptic.inspect(index).counts


def test_what_is_found_in_a_sample(tmp_path: Path) -> None:
    samples = opened(coco_panoptic(tmp_path))
    facts = inspected(samples, folder=tmp_path / "known")
    assert [fact.fault for fact in facts] == [None] * 3
    assert facts[0].counts == {0: 24, PERSON: 96, SKY: 24, DOG: 24, GRASS: 24}
    assert facts[0].segments == Segments({PERSON: 2, DOG: 1}, (0, PERSON, SKY, GRASS), (), 96)
    assert facts[1].segments == Segments({}, (SKY, GRASS), (), 0), "an image without any thing"
    assert inspected(samples.only([2, 0]), folder=tmp_path / "known") == [facts[2], facts[0]]


def test_images_without_things_or_segments_are_empty_answers(tmp_path: Path) -> None:
    def emptied(told: dict[str, Any]) -> None:
        told["annotations"][2]["segments_info"] = []

    samples = opened(coco_panoptic(tmp_path, emptied))
    write_mask(samples.masks[2], colored(map_of(0)))
    assert (samples[1].instances == 0).all() and (samples[1].label >= 0).all()
    assert (samples[2].instances == 0).all() and (samples[2].label == IGNORE).all()
    assert samples.inspect(2).fault is None and samples.inspect(2).counts == {0: 192}


@pytest.mark.parametrize(
    ("drawn", "said", "reads"),
    [
        (
            map_of(ABOVE, 77, 78),
            r"holds the ids 77, 78, which .*json does not list .* 2",
            False,
        ),
        (map_of(ABOVE), r"has no pixel of the ids 7, which `segments_info` of image 2", True),
        (map_of(ABOVE, BELOW, BELOW), r"segment 7 has \d+ pixels, but .*`area: 96` \(2 such", True),
        (map_of(ABOVE, BELOW)[:, :-1], r"jpg is 12x16 and .*png 12x15 .*json says 12x16", False),
    ],
)
def test_a_png_that_disagrees_with_its_json_or_image(
    tmp_path: Path, drawn: np.ndarray, said: str, reads: bool
) -> None:
    samples = opened(coco_panoptic(tmp_path))
    write_mask(tmp_path / PNG.format(2), colored(drawn))
    with pytest.raises(DataError, match=rf"000000000002\..*{said}.*data\.strict=false"):
        raise DataError(samples.inspect(1).fault)
    assert samples.inspect(0).fault is None
    if reads:
        return
    with pytest.raises(DataError, match=said):
        samples[1]


def test_a_json_of_another_size_is_a_fault(tmp_path: Path) -> None:
    root = coco_panoptic(tmp_path, lambda told: told["images"][1].update(width=17))
    assert "json says 12x17 of image 2" in opened(root).inspect(1).fault


def test_a_grey_png_is_no_panoptic_one(tmp_path: Path) -> None:
    samples = opened(coco_panoptic(tmp_path))
    write_mask(samples.masks[0], mask_of([1, 18], SIZE))
    said = r"0001\.png has mode L, but .*\(mode RGB\) are ids .* data=coco_stuff164k or data=folder"
    with pytest.raises(DataError, match=said):
        samples[0]
    assert "has mode L" in samples.inspect(0).fault


SEGMENT = {"id": 9, "category_id": PERSON, "area": 1, "iscrowd": 0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"segments_info": [SEGMENT, SEGMENT]}, "two entries of segment 9 in `segments_info`"),
        ({"segments_info": [{**SEGMENT, "id": 0}]}, 'has {"id": 0, "category_id": 1} as entry 0'),
        ({"segments_info": [SEGMENT, {**SEGMENT, "id": 2**24}]}, "as entry 1 of `segments_info`"),
        ({"segments_info": [{**SEGMENT, "iscrowd": 2}]}, "and 0 or 1 as `iscrowd`"),
        ({"segments_info": [{**SEGMENT, "area": "1"}]}, "expected are whole numbers"),
        ({"segments_info": [{**SEGMENT, "category_id": None}]}, "as entry 0 of `segments_info`"),
        ({"segments_info": [{**SEGMENT, "category_id": 0}]}, "`category_id` (1 or more)"),
        ({"segments_info": [{**SEGMENT, "category_id": 12}]}, "of category 12, which the file"),
        ({"segments_info": [3]}, "has 3 as entry 0 of `segments_info`"),
        ({"segments_info": None}, "has no list `segments_info`, but null"),
        ({"image_id": 99}, "is of image 99, which `images` of the file does not list"),
        ({"image_id": "2"}, 'is of image "2", which'),
        ({"image_id": 1}, "of image 1, is the second one of this image; one is expected"),
        ({"file_name": None}, "has no `file_name` of a PNG, but null"),
    ],
)
def test_annotations_that_cannot_be(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    root = coco_panoptic(tmp_path, lambda told: told["annotations"][1].update(change))
    with pytest.raises(DataError) as caught:
        opened(root)
    message = str(caught.value)
    assert "panoptic_val2017.json: entry 1 of `annotations`" in message
    assert said in message
    assert "data.strict=false" in message
    samples = opened(root, strict=False)
    assert samples.ids == ["000000000001", "000000000003"] and samples.gaps


def test_images_and_files_that_are_not_there(tmp_path: Path) -> None:
    root = coco_panoptic(tmp_path, lambda told: told["annotations"].pop())
    (root / "val2017" / f"{1:012d}.jpg").unlink()
    (root / PNG.format(2)).unlink()
    with pytest.raises(DataError) as caught:
        opened(root, source="https://cocodataset.org", expected={"val": 5000})
    for part in (
        "image 3 has no entry in `annotations`",
        "of image 1 there is no image `000000000001`",
        "of image 2 there is no PNG file `000000000002`",
        "0 images were found where the data set has 5000",
        "panoptic_val2017/*.png",
        "https://cocodataset.org",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"split `val` is empty: Expected .*val2017/"):
        opened(root, strict=False)
    (root / "annotations/panoptic_val2017.json").unlink()
    with pytest.raises(DataError, match=r"no annotation file .*panoptic_val2017\.json\. Expected"):
        opened(root)
    with pytest.raises(DataError, match="is not a folder"):
        opened(root / "nowhere")


def test_images_may_lie_in_folders(tmp_path: Path) -> None:
    def renamed(told: dict[str, Any]) -> None:
        for image in told["images"][:2]:
            image.update(coco_url=None, file_name=f"night/{image['id']:012d}.jpg")
        told["images"][2].update(coco_url="http://images/other/000000000002.jpg")

    root = coco_panoptic(tmp_path, renamed)
    (root / "val2017/night").mkdir()
    name = f"{1:012d}.jpg"
    (root / "val2017" / name).rename(root / "val2017/night" / name)
    with pytest.raises(DataError, match=r"file of image 3, `000000000002`, is that of 2 too"):
        opened(root)
    assert opened(root, strict=False).ids == ["000000000002", "night/000000000001"]


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    root = coco_panoptic(tmp_path)
    instances = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 1, 1, 0, 1]]}
    write_json(root, "val", {**content(MAPS), "annotations": [instances]})
    with pytest.raises(DataError, match=r"entry 0 .*no list `segments_info`; give panoptic annota"):
        opened(root)
    (root / "annotations/panoptic_val2017.json").write_text("{")
    with pytest.raises(DataError, match="is not whole JSON"):
        opened(root)


def test_another_class_table_is_refused(tmp_path: Path) -> None:
    root, plain = coco_panoptic(tmp_path), TABLE.to_dict()
    with pytest.raises(DataError, match=r"segments of the categories 18, 187, 193, which the"):
        opened(
            root, table=ClassTable(TABLE.names[:10], TABLE.colors[:10], TABLE.ids[:10], ignore=0)
        )
    plain = TABLE.to_dict()
    stuff = ClassTable.from_dict(plain | {"things": plain["things"][1:]})
    with pytest.raises(DataError, match=r"1 \(`person`\) is a thing in .* and stuff in .*thing: t"):
        opened(root, table=stuff)
    assert len(opened(root, table=stuff, instances=False)) == 3, "which is nothing to classes alone"
    with pytest.raises(DataError, match="write `ignore: 0` there"):
        opened(root, table=ClassTable.from_dict(plain | {"ignore": None}))


def test_two_annotations_with_one_png_are_refused(tmp_path: Path) -> None:
    def one_file(told: dict[str, Any]) -> None:
        told["annotations"][2]["file_name"] = told["annotations"][0]["file_name"]

    root = coco_panoptic(tmp_path, one_file)
    said = r"of the images 1 and 3 have one `file_name`, `000000000001\.png`.*data\.strict=false"
    for _ in range(2):  # also as it is remembered
        with pytest.raises(DataError, match=said):
            opened(root)
    assert opened(root, strict=False).ids == ["000000000001", "000000000002"]


def test_categories_of_other_names_are_refused(tmp_path: Path) -> None:
    def renamed(name: Any) -> Change:
        return lambda told: told["categories"][0].update(name=name)

    said = r"category 1 is `bicycle` in .*val2017\.json and `person` in the class table; .*classes="
    root = coco_panoptic(tmp_path, renamed("bicycle"))
    for instances in (True, False, True):
        with pytest.raises(DataError, match=said):
            opened(root, instances=instances)
    assert len(opened(root, same_names=False)) == 3, "a table of one's own may rename classes"
    for name in ("Person ", "", "PERSON"):
        assert len(opened(coco_panoptic(tmp_path, renamed(name)))) == 3, name
    dashed = coco_panoptic(
        tmp_path, lambda told: told["categories"][9].update(name="traffic-light")
    )
    assert len(opened(dashed)) == 3

    def unnamed(told: dict[str, Any]) -> None:
        for category in told["categories"]:
            del category["name"]

    assert len(opened(coco_panoptic(tmp_path, unnamed))) == 3
    assert len(opened(coco_panoptic(tmp_path, lambda told: told.pop("categories")))) == 3
    fewer = TABLE.to_dict() | {"names": ["human", *TABLE.names[1:]]}
    with pytest.raises(DataError, match=r"category 1 is `person` in .* and `human` in the class"):
        opened(coco_panoptic(tmp_path), table=ClassTable.from_dict(fewer))
    typed = [f"data.root={root}", "data.reader.same_names=false", "data.reader.expected=null"]
    data = build(compose("train", ["data=coco_panoptic", *typed]).data, path="data")
    assert len(data.open("val", strict=True)) == 3


def test_the_json_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(coco_panoptic(tmp_path))
    reads = []
    read = segments_info.read_content
    monkeypatch.setattr(segments_info, "read_content", lambda *a: reads.append(a) or read(*a))
    again = opened(tmp_path)
    assert not reads and again.ids == first.ids and again.gaps == []
    for index in range(3):
        assert torch.equal(again[index].label, first[index].label)
        assert torch.equal(again[index].instances, first[index].instances)
        assert again.inspect(index) == first.inspect(index)
    told = content({n: MAPS[n] for n in (1, 2)})
    write_json(tmp_path, "val", told)
    assert len(opened(tmp_path, strict=False)) == 2 and len(reads) == 1


def test_the_config_and_its_table_are_cocos(tmp_path: Path) -> None:
    cfg = compose("train", ["data=coco_panoptic", f"data.root={coco_panoptic(tmp_path)}"])
    assert cfg.data.num_classes == len(TABLE) == 133 and len(TABLE.things) == 80
    assert TABLE.ids == tuple(sorted(TABLE.ids)) and (TABLE.ids[79], TABLE.ids[80]) == (90, 92)
    assert TABLE.things == frozenset(range(80)) and TABLE.ignore == 0
    assert cfg.data.reader.expected == {"train": 118_287, "val": 5_000}
    data = build(cfg.data, path="data")
    with pytest.raises(DataError, match="3 images were found where the data set has 5000"):
        data.open("val", strict=True)
    assert data.open("val", strict=False)[0].instances is None


@pytest.mark.parametrize("folder", ["panoptic_val2017", "masks"])
@pytest.mark.parametrize("values", ["auto", "ids", "colors"])
def test_panoptic_files_are_told_from_masks(tmp_path: Path, folder: str, values: str) -> None:
    """By their colours, none of which is a class's, or by their folder if one of them is."""
    path, color = tmp_path / folder / "1.png", f"[{ONE & 255}, {ONE >> 8 & 255}, {ONE >> 16}]"
    table = tmp_path / "classes.yaml"
    write_mask(path, colored(map_of(ONE, OTHER)))
    tables = ("", ", color: [9, 9, 9]", *([f", color: {color}"] if folder != "masks" else []))
    said = {"masks": "If this is", "panoptic_val2017": "This seems to be"}[folder]
    for colors in tables if values == "auto" else tables[1:]:
        table.write_text(f"ignore: 255\nclasses:\n  - {{name: a{colors}}}\n")
        with pytest.raises(DataError, match=rf"1\.png.* {said} a panoptic .*data=coco_panoptic"):
            MaskReader(ClassTable.load(table), values)(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not here")
def test_real_files_give_the_known_figures(tmp_path: Path) -> None:
    """specs/datasets.md, section 15."""
    reader = CocoPanoptic(
        annotations="panoptic_examples.json",
        images="input_images/{id}.jpg",
        masks="panoptic_examples/{id}.png",
        splits={"val": "val"},
    )
    samples = reader.open("val", root=REAL, classes=TABLE, instances=True, strict=True)
    facts = [samples.inspect(index) for index in range(2)]
    assert [fact.fault for fact in facts] == [None, None], "areas are those of the JSON"
    assert [fact.counts[0] for fact in facts] == [2712, 7189]
    things = [sum(fact.segments.instances.values()) for fact in facts]
    assert things == [14, 26] and [len(samples.annotations.of(i).ids) for i in (0, 1)] == [18, 32]
    told = json.loads((REAL / "panoptic_examples.json").read_text())["annotations"][1]
    ids, sample = decode_panoptic_png(samples.masks[1]), samples[1]
    for segment in told["segments_info"]:
        inside = torch.from_numpy(ids == segment["id"])
        counted = segment["category_id"] < 92 and not segment["iscrowd"]
        assert (sample.label[inside] == TABLE.ids.index(segment["category_id"])).all()
        assert (sample.instances[inside] == (segment["id"] if counted else 0)).all()
        assert inside.sum() == segment["area"]
