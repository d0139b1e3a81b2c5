"""Class tables that do not fit the masks are told before anything is trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segsuite.core.errors import DataError
from segsuite.data.checks.occurrence import Occurrence, faults_of
from tests.data.layouts import mask_of, write_image, write_mask
from tests.data.test_own_splits import of_folder

BINARY = np.where(np.arange(16) < 12, 0, 255).astype(np.uint8)[None].repeat(12, 0)


def folder(root: Path, masks: list[np.ndarray]) -> Path:
    for number, mask in enumerate(masks):
        write_image(root / f"images/{number}.jpg", mask.shape, seed=number)
        write_mask(root / f"masks/{number}.png", mask)
    return root


def test_binary_masks_with_the_readmes_table_are_refused(tmp_path: Path) -> None:
    """255 is ignored, so that all that is left is background: mIoU would be 100 %."""
    with pytest.raises(DataError) as caught:
        of_folder(folder(tmp_path, [BINARY] * 5)).setup("fit")
    said = str(caught.value)
    assert "nothing to learn: only the class `rest` (id 0) occurs in 4 masks of split `trai" in said
    assert "The masks hold the ids 0 (75.0%), 255 (25.0%); the class table also has `crack`" in said
    assert "If 255 is `crack`, write `{id: 255, name: crack}` in the table" in said
    assert "take 255 out of `ignore`" in said
    text = "classes: [{id: 0, name: rest}, {id: 255, name: crack}]"
    data = of_folder(tmp_path)
    (tmp_path / "classes.yaml").write_text(text)
    data = type(data)(
        reader=data._reader,
        train_transform=data.train_transform,
        eval_transform=data.eval_transform,
        crop_size=(8, 8),
        num_classes=2,
        root=str(tmp_path),
        classes=str(tmp_path / "classes.yaml"),
        verify_dir=str(tmp_path / "known"),
        num_workers=0,
    )
    data.setup("fit")
    assert data.samples("train")[0].label[0].tolist() == [0] * 12 + [1] * 4


def test_an_id_that_no_class_has_is_told_with_the_class_that_lacks_its_own(tmp_path: Path) -> None:
    """The same masks with a table that ignores nothing."""
    data = of_folder(folder(tmp_path, [BINARY] * 5))
    (tmp_path / "none.yaml").write_text("classes: [{name: rest}, {name: crack}]")
    data.classes = type(data.classes).load(tmp_path / "none.yaml")
    with pytest.raises(DataError) as caught:
        data.setup("fit")
    said = str(caught.value)
    assert "png holds the id 255, not in the class table" in said
    assert "If 255 is `crack`, write `{id: 255, name: crack}` in the table. Else mend or" in said


@pytest.mark.parametrize("verify", ["true", "false"])
def test_masks_without_any_class_are_refused(verify: str, tmp_path: Path) -> None:
    folder(tmp_path, [mask_of([255])] * 5)
    with pytest.raises(DataError, match="nothing to learn: no pixel has a class in 4 masks of spl"):
        of_folder(tmp_path, f"data.verify={verify}").setup("fit")


def test_validation_masks_without_a_class_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, [mask_of([0, 1])] * 3 + [mask_of([255])])
    (tmp_path / "train.txt").write_text("0\n1\n2\n")
    (tmp_path / "val.txt").write_text("3\n")
    with pytest.raises(DataError, match="nothing to validate: no pixel has a class in 1 mask of"):
        of_folder(tmp_path).setup("fit")


def test_what_may_be_wrong_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A class that is nowhere while much is ignored; and one class in validation."""
    folder(tmp_path, [mask_of([0, 1, 255])] * 3 + [mask_of([0])])
    (tmp_path / "train.txt").write_text("0\n1\n2\n")
    (tmp_path / "val.txt").write_text("3\n")
    data = of_folder(tmp_path)
    (tmp_path / "three.yaml").write_text("ignore: 255\nclasses: [{name: a}, {name: b}, {name: c}]")
    data.classes = type(data.classes).load(tmp_path / "three.yaml")
    data.setup("fit")
    told = [record.getMessage() for record in caplog.records if "occurrence" in record.name]
    first, second = told
    assert first.startswith("1 class of the table occurs nowhere in 3 masks of split `train`")
    assert "If 255 is `c`, write" in first
    assert second.startswith("only the class `a` (id 0) occurs in 1 mask of split `val`")


def test_of_many_masks_that_are_not_verified_a_few_are_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And since others may hold the rest, nothing is refused."""
    folder(tmp_path, [BINARY] * 30)
    data = of_folder(tmp_path, "data.verify=false")
    looked_at: list[int] = []
    inspect = type(data.samples("train")).inspect
    monkeypatch.setattr(
        type(data.samples("train")), "inspect", lambda s, n: looked_at.append(n) or inspect(s, n)
    )
    data.setup("fit")
    assert sorted(looked_at[:16]) == np.linspace(0, 23, 16).astype(int).tolist()
    assert "occurs in 16 of the 24 masks of split `train`" in caplog.text
    data.setup("fit")
    assert len(looked_at) == 16 + 6, "once a split"


def seen(split: str, ids: dict[int, int], looked_at: int = 9) -> Occurrence:
    from collections import Counter

    return Occurrence(split, Counter(ids), looked_at, 9)


def test_only_what_cannot_be_meant_is_wrong() -> None:
    from segsuite.data.class_table import ClassTable

    table = ClassTable.load("camvid11")  # ignores 11
    some = dict.fromkeys(range(10), 100)
    without = seen("train", some | {11: 400})
    assert faults_of([seen("train", some | {10: 1, 11: 9000})], table) == {}
    assert faults_of([without, seen("val", {10: 1, 0: 1})], table) == {}, "it is in the other"
    assert list(faults_of([without, seen("val", some)], table)) == ["train", "val"]
    assert faults_of([seen("train", some | {11: 10})], table) == {}, "little is ignored"
    assert faults_of([seen("train", {0: 9, 11: 9}, looked_at=3)], table) == {}, "drawn"
    assert list(faults_of([seen("train", some), seen("val", {3: 9})], table)) == ["val"]


def test_check_data_exits_with_what_to_type_and_weights_that_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from segsuite import check_data

    def checked(masks: list[np.ndarray]) -> Any:
        of_folder(folder(tmp_path / "mine", masks))  # writes the table
        typed = ["data=folder", f"data.root={tmp_path}/mine", f"paths.logs={tmp_path}/logs"]
        typed += [f"+data.verify_dir={tmp_path}/known", "images=1", "name=one"]
        monkeypatch.setattr("sys.argv", ["check_data", *typed])
        code = 0
        try:
            check_data.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr().out
        return code, printed, json.loads(printed.strip().splitlines()[-1])

    (tmp_path / "mine").mkdir()
    code, printed, result = checked([BINARY] * 5)
    assert code == 1 and not result["train"]["ok"] and not result["val"]["ok"]
    assert "wrong: only the class `rest` (id 0) occurs" in printed
    assert "`{id: 255, name: crack}`" in result["train"]["wrong"]
    code, printed, result = checked([mask_of([0, 0, 0, 1])] * 5)
    assert code == 0 and result["val"]["ok"] and result["val"]["wrong"] is None
    (path,) = (
        line.partition("method.loss.class_weights=")[2]
        for line in printed.splitlines()
        if "class weights" in line
    )
    assert json.loads(Path(path).read_text()) == pytest.approx([2 / 3, 2.0], abs=1e-5)
    assert result["train"]["weights"] == [0.6667, 2.0]
