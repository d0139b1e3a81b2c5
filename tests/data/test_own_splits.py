"""Splits that a folder has itself, the names of its masks, and odd files in it."""

import functools
import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from segsuite.core.build import build
from segsuite.core.errors import DataError
from segsuite.data.module import SegmentationData
from segsuite.engine.launch.entry_point import compose
from tests.data.layouts import mask_of, write_image, write_mask


def pair(root: Path, name: str, mask: str | None = None) -> None:
    write_image(root / f"images/{name}.jpg")
    write_mask(root / f"masks/{mask or name}.png", mask_of([0, 1]))


def of_folder(root: Path, *changes: str) -> SegmentationData:
    """`data=folder`, with a table of two classes, as users type it."""
    (root / "classes.yaml").write_text("ignore: 255\nclasses: [{name: rest}, {name: crack}]")
    cfg = _composed(*changes).copy()
    cfg.data.root, cfg.data.verify_dir = str(root), str(root / "known")
    return build(cfg.data, path="data")


@functools.cache
def _composed(*changes: str) -> DictConfig:
    return compose("train", ["data=folder", "data.root=.", "+data.verify_dir=null", *changes])


def ids(data: SegmentationData, *splits: str) -> Any:
    return [data.samples(split).ids for split in splits]


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_folders_below_the_images_are_the_splits(
    names: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, count in zip(names, (3, 2, 1), strict=True):
        for number in range(count):
            pair(tmp_path, f"{folder}/{number}")
    pair(tmp_path, "extra/0")
    data = of_folder(tmp_path)
    found = ids(data, "train", "val", "test")
    assert found == [
        [f"{folder}/{n}" for n in range(count)]
        for folder, count in zip(names, (3, 2, 1), strict=True)
    ]
    assert data.test_split == "test" and "extra belong to no split" in caplog.text
    data.setup("fit")
    assert "also in split" not in caplog.text


def test_images_in_folders_go_with_masks_in_one_and_a_test_without_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("train", "val"):
        pair(tmp_path, f"{folder}/{folder}1", f"{folder}1")
    write_image(tmp_path / "images/test/unlabelled.jpg")
    data = of_folder(tmp_path)
    assert ids(data, "train", "val") == [["train/train1"], ["val/val1"]]
    data.setup("fit")
    assert data.test_split == "val" and "images/test has no masks" in caplog.text


def test_a_folder_for_testing_is_never_trained_on(tmp_path: Path) -> None:
    """Without one for validation, a fifth of the training images is validated on."""
    for number in range(10):
        pair(tmp_path, f"train/{number}")
    pair(tmp_path, "test/0")
    train, val, test = ids(of_folder(tmp_path), "train", "val", "test")
    assert (len(train), len(val), test) == (8, 2, ["test/0"])
    assert sorted(train + val) == [f"train/{n}" for n in range(10)]


def test_scenes_in_folders_are_no_splits(tmp_path: Path) -> None:
    for folder in ("bus", "train"):
        for number in range(5):
            pair(tmp_path, f"{folder}/{number}")
    data = of_folder(tmp_path)
    assert [len(part) for part in ids(data, "train", "val")] == [8, 2]
    assert data.test_split == "val"
    with pytest.raises(DataError, match=r"no split `test`, but train and val; .*test: 0\.1\}'"):
        data.samples("test")


def test_lists_beside_the_images_are_the_splits(tmp_path: Path) -> None:
    for number in range(6):
        pair(tmp_path, str(number))
    (tmp_path / "train.txt").write_text("0\n1\n")
    (tmp_path / "val.txt").write_text("images/2.jpg\n")
    data = of_folder(tmp_path)
    assert ids(data, "train", "val") == [["0", "1"], ["2"]] and data.test_split == "val"
    (tmp_path / "test.txt").write_text("5\n")
    assert of_folder(tmp_path).test_split == "test"


def test_a_held_out_share_is_typed_as_the_readme_shows(tmp_path: Path) -> None:
    for number in range(20):
        pair(tmp_path, str(number))
    plain = ids(of_folder(tmp_path), "train", "val")
    assert [len(part) for part in plain] == [16, 4]
    data = of_folder(tmp_path, "data.reader.splits={train: 0.7, val: 0.2, test: 0.1}")
    parts = ids(data, "train", "val", "test")
    assert [len(part) for part in parts] == [14, 4, 2] and data.test_split == "test"
    assert len({name for part in parts for name in part}) == 20
    # As they always were: typed in part, and the same samples for the same shares.
    assert ids(of_folder(tmp_path, "data.reader.splits={train: 0.8, val: 0.2}"), "train") == [
        plain[0]
    ]
    assert len(of_folder(tmp_path, "data.reader.splits.train=0.5").samples("train")) == 10
    with pytest.raises(DataError, match="no split `tset`"):
        of_folder(tmp_path, "data.test_split=tset").setup("test")


def test_folders_are_also_found_at_split_in_the_patterns(tmp_path: Path) -> None:
    for folder in ("training", "val"):
        write_image(tmp_path / folder / "photos/0.jpg")
        write_mask(tmp_path / folder / "labels/0.png", mask_of([0, 1]))
    patterns = ['data.reader.images="{split}/photos/{id}.*"', 'data.reader.masks="{split}/labels']
    data = of_folder(tmp_path, patterns[0], patterns[1] + '/{id}.png"')
    paths = [data.samples(split).images[0].parts[-3] for split in ("train", "val")]
    assert paths == ["training", "val"] and data.test_split == "val"


def test_splits_that_share_images_are_told_with_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("train", "val"):
        for number in range(4):
            pair(tmp_path, f"{folder}/{number}")
    of_folder(tmp_path, "data.reader.splits={train: 0.5, val: 0.5}").setup("fit")
    assert "draws shares over all folders" in caplog.text and "also in split" not in caplog.text
    (tmp_path / "a.txt").write_text("train/0\ntrain/1\nval/0\n")
    (tmp_path / "b.txt").write_text("train/1\nval/0\nval/1\nval/2\n")
    of_folder(tmp_path, "data.reader.splits={train: a.txt, val: b.txt}").setup("fit")
    assert "2 of 4 images of split `val` are also in split `train`" in caplog.text
    assert caplog.text.count("also in split") == 1


@pytest.mark.parametrize(
    ("begin", "end"),
    [("", "_L.png"), ("", "_mask.png"), ("", ".gif"), ("gt_", ".png"), ("a/gt_", "_L.png")],
)
def test_masks_of_other_names_are_shown_the_pattern_to_type(
    begin: str, end: str, tmp_path: Path
) -> None:
    folder, slash, begin = begin.rpartition("/")
    for number in range(5):
        write_image(tmp_path / f"images/{folder}{slash}{number}.jpg")
        write_mask(tmp_path / f"masks/{folder}{slash}{begin}{number}{end}", mask_of([0, 1]))
    how = ["data.reader.masks=masks/{id}.png"] if end == ".gif" else []
    how = [item.replace("masks/{id}.png", '"masks/{id}.png"') for item in how]
    with pytest.raises(DataError) as caught:
        of_folder(tmp_path, *how).samples("train")
    assert "split `train` is empty: no mask is called as data.reader.masks=masks/{id}" in str(
        caught.value
    )
    typed = str(caught.value).rpartition("type ")[2]
    assert typed == f"'data.reader.masks=\"masks/{begin}{{id}}{end}\"'"
    assert len(of_folder(tmp_path, typed.strip("'")).samples("train")) == 4, "as a shell passes it"


def test_masks_in_jpeg_are_told_why_they_do_not_do(tmp_path: Path) -> None:
    for number in range(5):
        write_image(tmp_path / f"images/{number}.png")
        write_mask(tmp_path / f"masks/{number}.JPG", mask_of([0, 1]))
    with pytest.raises(DataError, match=r"5 files of .*/masks/? end in \.JPG, but JPEG changes"):
        of_folder(tmp_path).samples("train")


def test_bitmaps_and_tiffs_are_masks_too(tmp_path: Path) -> None:
    for number, suffix in enumerate(("bmp", "tif", "PNG", "bmp", "tiff")):
        write_image(tmp_path / f"images/{number}.ppm")
        write_mask(tmp_path / f"masks/{number}.{suffix}", mask_of([0, 1, 255]))
    data = of_folder(tmp_path)
    data.setup("fit")
    assert data.samples("train")[0].label[0].unique().tolist() == [-1, 0, 1]


def test_odd_files_in_a_folder_are_left_out_or_named(tmp_path: Path) -> None:
    for number in range(5):
        pair(tmp_path, str(number))
    (tmp_path / "images/._0.jpg").write_bytes(b"\0\5\x16\7")  # as macOS writes beside each file
    (tmp_path / "images/Thumbs.db").touch()
    assert len(of_folder(tmp_path).samples("train")) == 4
    pair(tmp_path, "x" * 245)
    of_folder(tmp_path).setup("fit")
    loop = tmp_path / "images/loop"
    loop.symlink_to(tmp_path / "images")
    with pytest.raises(DataError, match=r"images/loop is a link to .*images, in which it lies"):
        of_folder(tmp_path).samples("train")
    loop.unlink()
    for name in ("pipe.jpg", "self.jpg"):
        odd = tmp_path / "images" / name
        os.mkfifo(odd) if name == "pipe.jpg" else odd.symlink_to(odd)
        write_mask(tmp_path / f"masks/{odd.stem}.png", mask_of([0, 1]))
        with pytest.raises(DataError, match=rf"{odd.stem}\.jpg (is no file|cannot be decoded)"):
            of_folder(tmp_path, "data.reader.splits={train: 1.0, val: 0.0}").samples("train")
        odd.unlink()
        (tmp_path / f"masks/{odd.stem}.png").unlink()
    (tmp_path / "images" / os.fsdecode(b"\xff.jpg")).touch()
    with pytest.raises(DataError, match=r"images/.udcff\.jpg' is not UTF-8.*rename"):
        of_folder(tmp_path).samples("train")
