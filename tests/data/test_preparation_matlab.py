"""COCO-Stuff 10k and SBD: MATLAB files in the layout of the archives, to masks."""

import sys
from pathlib import Path

import numpy as np
import pytest

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.preparation import matlab
from segsuite.data.readers.decode import decode_mask
from tests.data.layouts import mask_of, write_image, write_mask

scipy_io = pytest.importorskip("scipy.io")

SCRIPTS = str(Path(__file__).parents[2] / "scripts")


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    yield
    for name in ("prepare_coco_stuff10k", "prepare_voc_aug"):
        sys.modules.pop(name, None)


def write_stuff(path: Path, labels: np.ndarray, names: int = 183) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = np.array([f"name {n}" for n in range(names)], dtype=object)
    scipy_io.savemat(path, {"S": labels.astype(np.uint16), "names": words})
    return path


def write_sbd(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(path, {"GTcls": {"Segmentation": labels.astype(np.uint8)}})
    return path


@pytest.fixture
def stuff10k(tmp_path) -> Path:
    (tmp_path / "imageLists").mkdir()
    for split, names in (("train", ["a", "b"]), ("test", ["c"])):
        (tmp_path / "imageLists" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            write_image(tmp_path / "images" / f"{name}.jpg")
            write_stuff(tmp_path / "annotations" / f"{name}.mat", mask_of([0, 1, 13, 182]))
    return tmp_path


def test_coco_stuff10k_becomes_what_its_class_table_reads(stuff10k, capsys):
    import prepare_coco_stuff10k

    assert prepare_coco_stuff10k.main([str(stuff10k), "--workers", "1"]) == 0
    assert "3 masks written, 0 were there" in capsys.readouterr().out
    raw = decode_mask(stuff10k / "masks" / "a.png")
    assert raw.dtype == np.uint8 and raw[0, ::4].tolist() == [255, 0, 12, 181]
    table = ClassTable.load("cocostuff171")
    labels = table.labels(raw, "a.png")
    assert [table.names[n] if n >= 0 else None for n in labels[0, ::4]] == [
        None,
        "person",
        "stop sign",
        "wood",
    ]
    (stuff10k / "masks" / "b.png").unlink()
    assert prepare_coco_stuff10k.main([str(stuff10k), "--workers", "1"]) == 0
    assert "1 masks written, 2 were there" in capsys.readouterr().out


def test_version_1_0_other_ids_and_cut_files_are_refused(tmp_path):
    old = write_stuff(tmp_path / "old.mat", mask_of([1, 2]), names=172)
    with pytest.raises(DataError, match=r"old\.mat is of version 1\.0"):
        matlab.coco_stuff(old)
    beyond = write_stuff(tmp_path / "beyond.mat", mask_of([183]))
    with pytest.raises(DataError, match=r"beyond\.mat holds the id 183"):
        matlab.coco_stuff(beyond)
    cut = write_stuff(tmp_path / "cut.mat", mask_of([1, 2]))
    cut.write_bytes(cut.read_bytes()[:150])
    with pytest.raises(DataError, match=r"cut\.mat is not a whole MATLAB file"):
        matlab.coco_stuff(cut)


def test_an_annotation_that_is_not_there_is_named(stuff10k, capsys):
    import prepare_coco_stuff10k

    (stuff10k / "annotations" / "b.mat").unlink()
    assert prepare_coco_stuff10k.main([str(stuff10k)]) == 2
    assert "b.mat" in capsys.readouterr().err


def test_trainaug_is_both_data_sets_without_the_validation_images(tmp_path, capsys):
    import prepare_voc_aug

    voc, sbd = tmp_path / "VOC2012", tmp_path / "dataset"
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("both\nvoc_only\n")
    (lists / "val.txt").write_text("seen\n")
    sbd.mkdir()
    (sbd / "train.txt").write_text("both\nseen\n")
    (sbd / "val.txt").write_text("sbd_only\n")
    for name in ("both", "voc_only", "seen"):
        write_mask(voc / "SegmentationClass" / f"{name}.png", mask_of([0, 5, 255]))
    for name in ("both", "seen", "sbd_only"):
        write_sbd(sbd / "cls" / f"{name}.mat", mask_of([0, 20]))
    assert prepare_voc_aug.main([str(voc), str(sbd), "--workers", "1"]) == 0
    assert "trainaug has 3 images" in capsys.readouterr().out
    assert (lists / "trainaug.txt").read_text().split() == ["both", "sbd_only", "voc_only"]
    masks = voc / "SegmentationClassAug"
    assert set(np.unique(decode_mask(masks / "both.png"))) == {0, 5, 255}, "VOC's own is kept"
    assert set(np.unique(decode_mask(masks / "sbd_only.png"))) == {0, 20}
    assert (masks / "seen.png").exists(), "validation reads the same folder"


def test_sbd_masks_with_other_ids_are_refused(tmp_path):
    scipy_io.savemat(tmp_path / "other.mat", {"GTcls": {"Boundaries": np.zeros((2, 2))}})
    with pytest.raises(DataError, match=r"other\.mat has no `GTcls\.Segmentation`"):
        matlab.boundaries(tmp_path / "other.mat")
    with pytest.raises(DataError, match="beyond VOC's 20"):
        matlab.boundaries(write_sbd(tmp_path / "odd.mat", mask_of([21])))
