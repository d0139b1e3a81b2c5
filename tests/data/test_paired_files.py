from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segsuite.core.build import build
from segsuite.core.errors import ConfigError, DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.decode import decode_mask
from segsuite.data.readers.instance_files import ThingNumbers
from segsuite.data.readers.paired_files import PairedFiles
from segsuite.data.readers.splits import chosen
from segsuite.engine.launch.entry_point import compose
from tests.data.cityscapes import write_frames
from tests.data.layouts import camvid, mask_of, write_image, write_mask

CAMVID = {"images": "{split}/{id}.*", "masks": "{split}annot/{id}.png"}
SPLITS = {"train": "train", "val": "val"}


def opened(root: Path, split: str = "train", *, table: str = "camvid11", **how: Any) -> Any:
    options = {"instances": False, "strict": True}
    options.update({key: how.pop(key) for key in list(how) if key in options})
    reader = PairedFiles(**{**CAMVID, "splits": SPLITS, **how})
    return reader.open(split, root=root, classes=ClassTable.load(table), **options)


def test_camvid_layout_with_any_image_suffix(tmp_path: Path) -> None:
    samples = opened(camvid(tmp_path))
    assert samples.ids == ["0001TP_000000", "0001TP_000001", "0001TP_000002"]
    assert [path.suffix for path in samples.images] == [".png", ".jpg", ".png"]
    first = samples[0]
    assert first.image.shape == (3, 12, 16) and first.label.shape == (12, 16)
    assert first.label[0].unique().tolist() == [-1, 0, 3, 8]
    pixels = np.array(Image.open(samples.images[0]))
    assert (first.image.permute(1, 2, 0).numpy() == pixels).all()


def test_cityscapes_layout_with_cities_and_instances(tmp_path: Path) -> None:
    for city, frame in (("ulm", 7), ("aachen", 3)):
        name = f"train/{city}/{city}_000000_{frame:06}"
        write_image(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png")
        write_mask(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", mask_of([0, 7, 26, 33]))
        ids = mask_of([0, 7, 26001, 33], dtype=np.uint16)
        write_mask(tmp_path / f"gtFine/{name}_gtFine_instanceIds.png", ids)
        write_image(tmp_path / f"gtFine/{name}_gtFine_color.png")
    samples = PairedFiles(
        images="leftImg8bit/{split}/{id}_leftImg8bit.png",
        masks="gtFine/{split}/{id}_gtFine_labelIds.png",
        splits={"train": "train"},
        instances=ThingNumbers(pattern="gtFine/{split}/{id}_gtFine_instanceIds.png"),
    ).open(
        "train",
        root=tmp_path,
        classes=ClassTable.load("cityscapes19"),
        instances=True,
        strict=True,
    )
    assert samples.ids == ["aachen/aachen_000000_000003", "ulm/ulm_000000_000007"]
    got = samples[1]
    assert got.label[0].unique().tolist() == [-1, 0, 13, 18]
    assert got.instances is not None and got.instances[0].unique().tolist() == [0, 26001]
    assert samples.inspect(1).fault is None
    ids = mask_of([7], (6, 6), dtype=np.uint16)
    write_mask(samples.instance_files[1], ids)
    assert "is 6x6, but its mask is 12x16" in samples.inspect(1).fault


def test_samples_without_instance_ids_are_named_or_left_out(tmp_path: Path) -> None:
    camvid(tmp_path)
    for number in (0, 2):
        write_mask(tmp_path / f"marks/0001TP_{number:06}.png", mask_of([0], dtype=np.uint16))
    how = {"instances": ThingNumbers(pattern="marks/{id}.png")}
    reader = PairedFiles(**CAMVID, splits=SPLITS, **how)
    opening = {"root": tmp_path, "classes": ClassTable.load("camvid11"), "instances": True}
    with pytest.raises(DataError, match=r"1 of 3 pairs have no instance ids, .*marks/\*\.png"):
        reader.open("train", **opening, strict=True)
    samples = reader.open("train", **opening, strict=False)
    assert samples.ids == ["0001TP_000000", "0001TP_000002"] and len(samples.gaps) == 1
    assert samples.instance_files[1].stem == samples.ids[1]
    for path in (tmp_path / "marks").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="`train` is empty: 3 of 3 pairs have no instance ids"):
        reader.open("train", **opening, strict=False)


def test_a_missing_root_prints_the_expected_tree_and_the_source(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "nowhere", source="https://camvid.example")
    message = str(caught.value)
    for part in ("data.root=", "nowhere/train/*", "trainannot/*.png", "https://camvid.example"):
        assert part in message
    with pytest.raises(DataError, match="is not a folder"):
        PairedFiles(**CAMVID, splits=SPLITS).open(
            "train", root=None, classes=ClassTable.load("camvid11"), instances=False, strict=True
        )


def test_pairs_are_checked_in_both_directions(tmp_path: Path) -> None:
    camvid(tmp_path)
    write_image(tmp_path / "train/lonely.png")
    write_mask(tmp_path / "trainannot/widowed.png", mask_of([0]))
    with pytest.raises(DataError, match=r"lonely\.png has no mask; .*widowed\.png has no image"):
        opened(tmp_path)
    samples = opened(tmp_path, strict=False)
    assert len(samples) == 3 and len(samples.gaps) == 2


def test_a_known_number_of_samples_is_insisted_on(tmp_path: Path) -> None:
    camvid(tmp_path)
    with pytest.raises(DataError, match="3 pairs were found where the data set has 367"):
        opened(tmp_path, expected={"train": 367})
    assert len(opened(tmp_path, expected={"train": 367}, strict=False)) == 3
    assert opened(tmp_path, expected={"train": 3}).gaps == []


def test_an_empty_or_unknown_split_is_an_error(tmp_path: Path) -> None:
    camvid(tmp_path)
    with pytest.raises(DataError, match="no split `tset`"):
        opened(tmp_path, "tset")
    with pytest.raises(DataError, match="split `test` is empty"):
        opened(tmp_path, "test", splits={"test": "test"})


def test_two_images_of_one_id_are_an_error(tmp_path: Path) -> None:
    camvid(tmp_path)
    write_image(tmp_path / "train/0001TP_000000.jpg")
    with pytest.raises(DataError, match="both the file of `0001TP_000000`"):
        opened(tmp_path)


def test_a_pattern_without_an_id_is_an_error(tmp_path: Path) -> None:
    for pattern in ("train/*.png", "train/{id}", "a_{split}_{id}.png"):
        with pytest.raises(ConfigError, match="no file pattern"):
            opened(camvid(tmp_path), images=pattern)


def test_sizes_that_differ_are_an_error_when_read(tmp_path: Path) -> None:
    camvid(tmp_path)
    write_mask(tmp_path / "trainannot/0001TP_000000.png", mask_of([0], (10, 16)))
    with pytest.raises(DataError, match=r"is 12x16, but its mask is 10x16"):
        opened(tmp_path)[0]


def test_shares_divide_the_samples_without_rest_or_overlap() -> None:
    ids = [f"frame_{n:03}" for n in range(101)]
    splits = {"train": 0.7, "val": 0.2, "test": 0.1}
    parts = {name: chosen(name, splits, ids, Path())[0] for name in splits}
    assert sorted(chain.from_iterable(parts.values())) == ids
    assert [len(part) for part in parts.values()] == [71, 20, 10]
    assert parts["val"] != ids[71:91]  # not a run of one film
    assert parts["val"] == chosen("val", splits, ids[::-1], Path())[0]
    with pytest.raises(ConfigError, match="add up to at most 1"):
        chosen("train", {"train": 0.9, "val": 0.2}, ids, Path())


def test_lists_name_ids_paths_or_the_columns_of_segnet(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a\nimages/b.png masks/b.png\n\n/SegNet/CamVid/c.png x\n")
    ids, gaps = chosen("train", {"train": "train.txt"}, ["a", "b", "c", "d"], tmp_path)
    assert ids == ["a", "b", "c"] and gaps == []
    (tmp_path / "train.txt").write_text("a\nz.jpg\n")
    ids, gaps = chosen("train", {"train": "train.txt"}, ["a", "b"], tmp_path)
    assert ids == ["a"] and "z.jpg" in gaps[0]
    with pytest.raises(DataError, match=r"val\.txt of data\.reader\.splits is not there"):
        chosen("val", {"val": "val.txt"}, ["a"], tmp_path)


def test_the_first_column_of_a_list_is_the_sample_unless_the_whole_line_is(tmp_path: Path) -> None:
    def listed(line: str, *ids: str) -> list[str]:
        (tmp_path / "train.txt").write_text(f"{line}\n")
        return chosen("train", {"train": "train.txt"}, ids, tmp_path)[0]

    assert listed("x/1.png y/2.png", "1", "2") == ["1"]
    assert listed("x/3.png y/2.png", "1", "2") == [], "and not the second column's"
    assert listed("1 2", "1", "2") == ["1"]
    assert listed("1 2", "1", "1 2") == listed("1 2.png", "1", "1 2") == ["1 2"]
    assert listed("images/my crack.png", "crack", "my crack") == ["my crack"]
    photos = ("photo", "photo (1)", "sub/photo (2)")
    assert listed("images/photo (1).png", *photos) == ["photo (1)"]
    assert listed("photo (2).png", *photos) == ["sub/photo (2)"]
    assert listed("photo (3).png", *photos) == [], "and not another image"
    assert listed("photo masks/photo_gt.png", *photos) == ["photo"]
    assert listed("photo 1", *photos) == listed("photo.png", *photos) == ["photo"]


def test_a_list_never_takes_one_folder_for_another(tmp_path: Path) -> None:
    ids = ["one/0001", "two/0001", "two/my crack"]
    (tmp_path / "train.txt").write_text("images/two/0001.png\ntwo/my crack.jpg\n")
    assert chosen("train", {"train": "train.txt"}, ids, tmp_path) == (ids[1:], [])
    (tmp_path / "train.txt").write_text("\ufeffone/0001\n0001\nthree/0001.png\n")
    found, gaps = chosen("train", {"train": "train.txt"}, ids, tmp_path)
    assert found == ["one/0001"], "the mark at the beginning of Windows' files is no letter"
    assert "names 0001, which may be one/0001 or two/0001" in gaps[0]
    assert "names three/0001.png, of which there is no pair" in gaps[1]
    (tmp_path / "train.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(DataError, match=r"train\.txt is no list of names, one a line"):
        chosen("train", {"train": "train.txt"}, ids, tmp_path)


def of_ones_own(root: Path, count: int) -> dict[str, Any]:
    """That many pairs, and the reader's patterns for them."""
    for number in range(count):
        write_image(root / f"images/{number}.jpg", seed=number)
        write_mask(root / f"masks/{number}.png", mask_of([0]))
    return {"images": "images/{id}.*", "masks": "masks/{id}.png"}


@pytest.mark.parametrize(("count", "split"), [(1, "val"), (2, "val")])
def test_too_few_pairs_for_a_share_say_what_to_type(tmp_path: Path, count: int, split: str) -> None:
    how = of_ones_own(tmp_path, count)
    splits = {"train": 0.8, "val": 0.2}
    assert len(opened(tmp_path, **how, splits=splits)) == count
    with pytest.raises(DataError) as caught:
        opened(tmp_path, split, **how, splits=splits)
    assert f"split `val` is empty: a share of 0.2 of {count} pair" in str(caught.value)
    assert "'data.reader.splits={train: train.txt, val: val.txt}'" in str(caught.value)
    (tmp_path / "both.txt").write_text("0\n")
    both = {"train": "both.txt", "val": "both.txt"}  # what the message says is possible
    assert [opened(tmp_path, name, **how, splits=both).ids for name in both] == [["0"]] * 2
    (tmp_path / "both.txt").write_text("\n")
    with pytest.raises(DataError, match=rf"the list both\.txt names none of the {count} pairs"):
        opened(tmp_path, **how, splits=both)


def test_folders_of_splits_are_looked_into(tmp_path: Path) -> None:
    """Otherwise training and validation would be the same images, and nothing would say so."""
    how = of_ones_own(tmp_path, 2)
    with pytest.raises(ConfigError, match=r"names the folder `train`, but images/\{id\}\.\* and"):
        opened(tmp_path, **how, splits=SPLITS)
    with pytest.raises(ConfigError, match=r"splits has `0\.8`, which is no folder, but \{split\}"):
        opened(tmp_path, splits={"train": 0.8, "val": 0.2})


def test_what_a_list_does_not_name_may_be_incomplete(tmp_path: Path) -> None:
    camvid(tmp_path)
    write_image(tmp_path / "train/unlabelled.png")
    (tmp_path / "some.txt").write_text("0001TP_000002\n")
    how = {"images": "train/{id}.*", "masks": "trainannot/{id}.png"}
    assert opened(tmp_path, **how, splits={"train": "some.txt"}).ids == ["0001TP_000002"]
    (tmp_path / "some.txt").write_text("unlabelled.png\n0001TP_000002\n")
    with pytest.raises(DataError, match=r"names unlabelled\.png, of which there is no pair"):
        opened(tmp_path, **how, splits={"train": "some.txt"})


def test_masks_keep_their_raw_ids(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    palette = Image.fromarray(mask_of([0, 1, 2, 200]))
    palette.putpalette([n % 256 for n in range(768)])
    palette.save(path)
    assert np.unique(decode_mask(path)).tolist() == [0, 1, 2, 200]
    write_mask(path, mask_of([0, 1283, 65535], dtype=np.uint16))
    assert np.unique(decode_mask(path)).tolist() == [0, 1283, 65535]
    write_image(path)
    with pytest.raises(DataError, match="holds colours"):
        decode_mask(path)


def coarse(root: Path, *changes: str) -> Any:
    """The reader of `data=cityscapes_coarse` and what it is opened with."""
    cfg = compose("train", ["data=cityscapes_coarse", f"data.root={root}", *changes])
    return build(cfg.data, path="data")


def test_coarse_training_is_validated_on_fine_labels(tmp_path: Path) -> None:
    write_frames(tmp_path, "val", 2)
    for number in (3, 73):
        name = f"train_extra/troisdorf/troisdorf_000000_{number:06}"
        write_image(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png")
        write_mask(tmp_path / f"gtCoarse/{name}_gtCoarse_labelIds.png", mask_of([0, 7, 26]))
    # Coarse labels of val are in the archive too, and are not what is validated on.
    write_mask(tmp_path / "gtCoarse/val/ulm/ulm_000000_000000_gtCoarse_labelIds.png", mask_of([0]))
    data = coarse(tmp_path, "data.reader.expected={train:1,val:2}", "data.instances=true")
    val = data.samples("val")
    assert val.ids == ["bad-honnef/bad-honnef_000000_000001", "ulm/ulm_000000_000000"]
    assert "gtFine" in str(val.masks[0]) and val[0].instances is not None
    data = coarse(tmp_path, "data.reader.expected={train:1,val:2}")
    train = data.samples("train")
    assert train.ids == ["troisdorf/troisdorf_000000_000003"], "the black image is left out"
    assert train[0].label[0].unique().tolist() == [-1, 0, 13]
    with pytest.raises(DataError, match=r"1 pairs were found where the data set has 19997.*gtCo"):
        coarse(tmp_path).samples("train")


def test_masks_by_split_name_the_splits_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"masks has train and data\.reader\.splits has train, v"):
        opened(camvid(tmp_path), masks={"train": "trainannot/{id}.png"})
