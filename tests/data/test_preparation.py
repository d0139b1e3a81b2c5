"""Official annotation files to masks: made-up trees, and a real LVIS file where it is at hand."""

import json
import subprocess
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.preparation import coco_lvis
from segsuite.data.preparation.annotations import read_annotations
from segsuite.data.preparation.coco_lvis import lvis_ids, merged, stuff_ids
from segsuite.data.preparation.rasterise import painted, region, unpacked
from segsuite.data.readers.decode import decode_mask
from tests.data.layouts import write_image

pytest.importorskip("pycocotools")

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT.parent / "shared" / "data" / "coco_samples" / "lvis_val_100.json"
SCRIPT = ROOT / "scripts" / "prepare_coco_lvis.py"
SIZE = (12, 16)


def square(top: int, left: int, side: int) -> list[list[float]]:
    """A polygon whose pixels are exactly those of the square."""
    bottom, right = top + side, left + side
    return [[left, top, right, top, right, bottom, left, bottom]]


def run_lengths(mask: np.ndarray) -> dict:
    """COCO's, column by column, beginning with zeros."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + counts}


def annotation(number: int, image: int, category: int, segmentation: object) -> dict:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
    }


def write(path: Path, images: list[int], annotations: list[dict], folder: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {
                "id": number,
                "height": SIZE[0],
                "width": SIZE[1],
                "coco_url": f"http://images/{folder}/{number:012d}.jpg",
            }
            for number in images
        ],
        "annotations": annotations,
        "categories": [],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def coco(tmp_path, monkeypatch) -> Path:
    """COCO's folder: three training images, one for validation that lies in train2017 too."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    notes = tmp_path / "annotations"
    grass = run_lengths(np.arange(16)[None].repeat(12, 0) < 8)  # the left half
    write(
        notes / "lvis_v1_train.json",
        [1, 2, 3],
        [
            annotation(10, 1, 50, square(2, 2, 4)),
            annotation(11, 1, 1203, square(4, 4, 6)),
            annotation(12, 2, 1, square(0, 0, 3)),
        ],
        "train2017",
    )
    write(notes / "lvis_v1_val.json", [4], [annotation(13, 4, 7, square(1, 1, 2))], "train2017")
    write(
        notes / "stuff_train2017.json",
        [1, 2, 3, 4],
        [
            annotation(20, 1, 124, grass),  # grass
            annotation(21, 1, 183, run_lengths(np.ones(SIZE))),  # other
            annotation(22, 4, 93, run_lengths(np.ones(SIZE))),  # blanket
        ],
        "train2017",
    )
    write(notes / "stuff_val2017.json", [5], [], "val2017")
    for number in (1, 2, 3, 4):
        write_image(tmp_path / "train2017" / f"{number:012d}.jpg", SIZE, seed=number)
    return tmp_path


def prepared(coco: Path, *more: str) -> subprocess.CompletedProcess:
    """The script in this process."""
    line, out, err = [str(coco), "--workers", "1", *more], StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = import_module(SCRIPT.stem).main(line)
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())


def typed(coco: Path, *more: str) -> subprocess.CompletedProcess:
    """The script as users start it."""
    line = [sys.executable, str(SCRIPT), str(coco), "--workers", "1", *more]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=120)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_merged_classes_are_those_of_the_table():
    table = ClassTable.load("coco_lvis1284")
    ids = sorted({*lvis_ids().values(), *stuff_ids().values()})
    assert ids == list(table.ids) == list(range(1, 1285))
    assert table.ignore == 0
    names = dict(zip(table.ids, table.names, strict=True))
    assert names[stuff_ids()[93]] == names[110] == "blanket"
    assert names[stuff_ids()[92]] == "banner" and names[stuff_ids()[168]] == "towel"
    assert names[1217] == "desk-stuff" and names[1204] == "branch"
    assert len(stuff_ids()) == 91 and 183 not in stuff_ids()
    compat = stuff_ids(paper_compat=True)
    assert (names[compat[93]], names[compat[98]]) == ("desk-stuff", "window-other")
    assert {group: table.groups.count(group) for group in set(table.groups)} == {
        "rare": 337,
        "common": 461,
        "frequent": 405 + 81,
    }


def test_masks_are_lvis_first_and_stuff_where_it_says_nothing(coco):
    assert typed(coco).returncode == 0
    mask = decode_mask(coco / "coco_lvis" / "train2017" / f"{1:012d}.png")
    expected = np.zeros(SIZE, int)
    expected[:, :8] = stuff_ids()[124]
    expected[4:10, 4:10] = 1203
    expected[2:6, 2:6] = 50  # the first of the file lies on top
    np.testing.assert_array_equal(mask, expected)
    blanket = decode_mask(coco / "coco_lvis" / "train2017" / f"{4:012d}.png")
    assert blanket[0, 0] == 110 and blanket[2, 2] == 7
    assert not decode_mask(coco / "coco_lvis" / "train2017" / f"{3:012d}.png").any()
    lists = {s: (coco / "coco_lvis" / f"{s}.txt").read_text().split() for s in ("train", "val")}
    assert lists["val"] == ["train2017/000000000004"] and len(lists["train"]) == 3
    index = json.loads((coco / "coco_lvis" / "index.json").read_text())
    assert index["images"]["4"] == {"path": "train2017/000000000004", "height": 12, "width": 16}
    assert index["skipped"] == {"train": {}, "val": {}}


def test_the_reader_finds_what_was_prepared(coco):
    from segsuite.core.build import build
    from segsuite.engine.launch.entry_point import compose

    assert prepared(coco).returncode == 0
    cfg = compose("train", ["experiment=essnet_coco_lvis_resnet50", f"data.root={coco}"])
    reader = build(cfg.data.reader, path="data.reader", allow=())
    table = ClassTable.load("coco_lvis1284")
    found = reader.open("train", root=coco, classes=table, instances=False, strict=False)
    assert len(found) == 3
    assert found[0].label[3, 3] == 49 and found[0].label[0, 15] == -1


@pytest.mark.parametrize(("overlap", "inside"), [("first", 50), ("smallest", 50), ("last", 1203)])
def test_overlaps(overlap, inside):
    both = painted([(50, square(2, 2, 4)), (1203, square(4, 4, 6))], SIZE, overlap)
    assert both[5, 5] == inside
    assert both[2, 2] == 50 and both[9, 9] == 1203 and both[0, 0] == 0
    large_first = painted([(1, square(0, 0, 8)), (2, square(2, 2, 2))], SIZE, "smallest")
    assert large_first[3, 3] == 2 and large_first[0, 0] == 1


def test_run_lengths_packed_and_plain_are_the_same():
    from pycocotools import mask as masks

    mask = np.random.default_rng(0).random(SIZE) < 0.4
    plain = run_lengths(mask)
    packed = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": list(SIZE), "counts": packed["counts"].decode()}
    for form in (plain, text):
        np.testing.assert_array_equal(region(form, SIZE), mask)


def test_a_killed_run_goes_on_and_yields_the_same_files(coco, tmp_path_factory):
    """Killed while it writes the third mask; what it had begun is left beside."""
    whole = tmp_path_factory.mktemp("whole")
    assert typed(coco, "--out", str(whole)).returncode == 0

    killer = (
        "import os, sys; sys.path.insert(0, 'scripts')\n"
        "from segsuite.data.preparation import coco_lvis, jobs\n"
        "calls, write = [], jobs.write_mask\n"
        "def dying(path, raw):\n"
        "    calls.append(path)\n"
        "    if len(calls) == 3:\n"
        "        path.with_name(f'.{path.stem}.1.part.png').write_bytes(b'half')\n"
        "        os.kill(os.getpid(), 9)\n"
        "    write(path, raw)\n"
        "jobs.write_mask = dying\n"
        "import prepare_coco_lvis\n"
        f"prepare_coco_lvis.main([{str(coco)!r}, '--workers', '1'])\n"
    )
    died = subprocess.run([sys.executable, "-c", killer], cwd=ROOT, capture_output=True)
    assert died.returncode == -9
    folder = coco / "coco_lvis"
    there = {path: path.stat().st_mtime_ns for path in folder.rglob("0*.png")}
    assert len(there) == 2 and len(list(folder.rglob(".*.part*"))) == 1

    again = typed(coco)
    assert again.returncode == 0 and "1 masks written, 2 were there" in again.stdout
    assert all(path.stat().st_mtime_ns == when for path, when in there.items())
    assert files(folder) == files(whole)


def test_other_settings_do_not_mix_with_what_is_there(coco):
    assert prepared(coco).returncode == 0
    mixed = prepared(coco, "--overlap", "last")
    assert mixed.returncode == 2
    assert "overlap=first" in mixed.stderr and "delete it" in mixed.stderr


def test_several_processes_write_the_same(coco, tmp_path):
    assert prepared(coco).returncode == 0
    assert typed(coco, "--workers", "2", "--out", str(tmp_path / "two")).returncode == 0
    assert files(coco / "coco_lvis") == files(tmp_path / "two")


FAULTS = {
    "polygon": (annotation(90, 2, 5, [[1, 1, 2, 2]]), "2 points", "unfit polygon"),
    "none": (annotation(90, 2, 5, []), "no polygon", "unfit polygon"),
    "size": (
        annotation(90, 2, 5, run_lengths(np.ones((3, 4)))),
        "3x4, but the image is 12x16",
        "unfit mask",
    ),
    "runs": (
        annotation(90, 2, 5, {"size": [12, 16], "counts": [5]}),
        "runs cover 5 pixels, but the image has 192",
        "unfit mask",
    ),
    "text": (
        annotation(90, 2, 5, {"size": [12, 16], "counts": "abc~"}),
        "run lengths cannot be read",
        "unfit mask",
    ),
    "odd": (annotation(90, 2, 5, [[1, 1, 5, 1, 5, 5, 1]]), "half a point", "unfit polygon"),
    "words": (annotation(90, 2, 5, [["a", "b"] * 3]), "is no polygon", "unfit polygon"),
    "sizeless": (annotation(90, 2, 5, {"size": 7, "counts": [5]}), "of no size", "unfit mask"),
    "null": (annotation(90, 2, 5, None), "no polygon", "unfit polygon"),
    "class": (annotation(90, 2, 1204, square(0, 0, 2)), "category 1204", "unknown category"),
    "image": (annotation(90, 77, 5, square(0, 0, 2)), "of image 77, which", "image not listed"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_annotation_that_does_not_fit_is_named_or_counted(coco, fault):
    wrong, said, kind = FAULTS[fault]
    path = coco / "annotations" / "lvis_v1_train.json"
    content = json.loads(path.read_text())
    content["annotations"].append(wrong)
    path.write_text(json.dumps(content))

    stopped = prepared(coco)
    assert stopped.returncode == 2 and "Traceback" not in stopped.stderr
    assert "annotation 90 " in stopped.stderr and said in stopped.stderr
    assert str(path) in stopped.stderr
    assert not (coco / "coco_lvis").exists(), "found before anything was written"

    counted = prepared(coco, "--no-strict")
    assert counted.returncode == 0 and f"1 ({kind})" in counted.stdout
    index = json.loads((coco / "coco_lvis" / "index.json").read_text())
    assert index["skipped"]["train"] == {kind: 1}


def test_only_the_polygon_that_is_no_area_is_left_out(coco):
    """The annotation keeps its other parts, in the masks and in what is counted."""
    path = coco / "annotations" / "lvis_v1_train.json"
    content = json.loads(path.read_text())
    parts = [*square(0, 0, 3), [9, 9, 9, 9], [5, 5], *square(8, 8, 4)]
    content["annotations"].append(annotation(90, 3, 5, parts))
    path.write_text(json.dumps(content))
    assert "annotation 90 of image 3: a polygon of 2 points" in prepared(coco).stderr
    counted = prepared(coco, "--no-strict")
    assert counted.returncode == 0 and "2 (unfit polygon)" in counted.stdout
    expected = np.zeros(SIZE, int)
    expected[0:3, 0:3] = expected[8:12, 8:12] = 5
    mask = decode_mask(coco / "coco_lvis" / "train2017" / f"{3:012d}.png")
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"images": [], "annotations": [{"id"', "cut short"),
        ("[1, 2]", "has no list `images`"),
        ('{"images": {}, "annotations": []}', "has no list `images`"),
        ('{"images": [{"height": 1}], "annotations": []}', "is no image with an id"),
        ('{"images": [], "annotations": [5]}', "5 is no annotation"),
        ('{"images": []}', "has no list `annotations`"),
        ('{"images": [{"id": 1}], "annotations": []}', "image 1"),
        ('{"images": [], "annotations": [{"id": 5, "image_id": 1}]}', "annotation 5 lacks"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, said):
    path = tmp_path / "lvis.json"
    path.write_text(content)
    with pytest.raises(DataError, match=said) as error:
        read_annotations(path)
    assert str(path) in str(error.value)


def test_an_image_without_stuff_is_named_or_counted(coco):
    write(coco / "annotations" / "stuff_train2017.json", [1, 2, 3], [], "train2017")
    stopped = prepared(coco)
    assert (
        stopped.returncode == 2 and "1 images" in stopped.stderr and "such as 4" in stopped.stderr
    )
    counted = prepared(coco, "--no-strict")
    assert counted.returncode == 0 and "1 (image without stuff)" in counted.stdout


def test_packed_runs_are_read_as_coco_packs_them():
    from pycocotools import mask as masks

    for seed in range(30):
        random = np.random.default_rng(seed)
        mask = random.random((37, 41)) < random.random()
        text = masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert unpacked(text).tolist() == run_lengths(mask)["counts"]
        assert unpacked(text[:-1]) is None or unpacked(text[:-1]).sum() != mask.size


def test_other_annotations_do_not_mix_with_what_is_there(coco):
    assert prepared(coco).returncode == 0
    path = coco / "annotations" / "lvis_v1_train.json"
    path.write_text(path.read_text().replace("1203", "1202"))
    again = prepared(coco)
    assert again.returncode == 2 and "other sources" in again.stderr


def test_not_strict_goes_on_where_strict_stopped(coco):
    path = coco / "annotations" / "lvis_v1_val.json"
    content = json.loads(path.read_text())
    content["annotations"].append(FAULTS["class"][0] | {"image_id": 4})
    path.write_text(json.dumps(content))
    assert prepared(coco).returncode == 2  # after the masks of train
    went_on = prepared(coco, "--no-strict")
    assert went_on.returncode == 0 and "train: 0 masks written, 3 were there" in went_on.stdout


def test_the_command_that_is_suggested_fits_what_was_written(coco):
    suggested = prepared(coco, "--paper-compat").stdout.splitlines()[-1]
    assert '"data.reader.expected={train: 3, val: 1}"' in suggested


def test_an_absent_file_is_named(coco):
    (coco / "annotations" / "stuff_val2017.json").unlink()
    gone = typed(coco)
    assert gone.returncode == 2 and "stuff_val2017.json" in gone.stderr
    assert "Traceback" not in gone.stderr


@pytest.mark.skipif(not SAMPLE.exists(), reason="a real LVIS file, not in the repository")
def test_the_rules_differ_on_real_data_as_measured():
    """On the labelled pixels of 100 real images: 5.6 % (last) and 1.8 % (smallest)."""
    read = read_annotations(SAMPLE)
    assert len(read.images) == 100 and sum(map(len, read.regions.values())) == 977
    labelled, differing = 0, {"last": 0, "smallest": 0}
    for image, regions in read.regions.items():
        size = read.images[image][1:]
        of_image = [(its.category, its.segmentation) for its in regions]
        first = merged(size, of_image, [], "first")
        labelled += (first > 0).sum()
        for rule in differing:
            differing[rule] += (merged(size, of_image, [], rule) != first).sum()
    assert differing["last"] / labelled == pytest.approx(0.056, abs=0.002)
    assert differing["smallest"] / labelled == pytest.approx(0.018, abs=0.002)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({1: "aerosol_can", 2: "air_conditioner", 3: "plane"}, ""),  # one is spelt otherwise
        ({1: "acorn", 2: "aerosol_can", 1230: "zucchini"}, "1: 3 of its 3 .* 1, `acorn` here"),
    ],
)
def test_another_release_of_lvis_is_told_by_the_names_of_its_categories(tmp_path, names, said):
    path = write(tmp_path / "lvis.json", [1], [annotation(1, 1, 2, square(1, 1, 2))], "val2017")
    named = [{"id": number, "name": name} for number, name in names.items()]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"categories": named}))
    with pytest.raises(DataError, match=f"LVIS v{said}") if said else nullcontext():
        coco_lvis.read_split(path, [], strict=False)


def test_the_dropped_image_is_dropped_on_request_only(tmp_path):
    lvis = write(tmp_path / "lvis.json", [429995, 1], [], "train2017")
    assert len(coco_lvis.read_split(lvis, []).images) == 2
    assert list(coco_lvis.read_split(lvis, [], paper_compat=True).images) == [1]
