"""What check_data says of trees with instances, and how it draws them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core.build import build
from segsuite.core.errors import DataError
from segsuite.data.checks.inspection import report
from segsuite.data.checks.instances import Instances
from segsuite.data.checks.occurrence import faults_of, wrong_instances
from segsuite.data.checks.preview import write_preview, write_table
from segsuite.data.class_table import ClassTable
from segsuite.data.palette import instance_borders
from segsuite.data.readers.instance_files import ThingNumbers
from segsuite.data.readers.paired_files import PairedFiles
from segsuite.engine.launch.entry_point import compose
from tests.data.cityscapes import write_frames
from tests.data.layouts import Listed, sample, write_mask
from tests.data.panoptic_trees import DOG, GRASS, MAPS, PERSON, SKY, TABLE, coco_panoptic, colored
from tests.data.test_coco_panoptic import opened

CITYSCAPES = ClassTable.load("cityscapes19")


def cityscapes(root: Path, pattern: str) -> Any:
    write_frames(root, "val", 2)
    reader = PairedFiles(
        images="leftImg8bit/{split}/{id}_leftImg8bit.png",
        masks="gtFine/{split}/{id}_gtFine_labelIds.png",
        splits={"val": "val"},
        instances=ThingNumbers(pattern=f"gtFine/{{split}}/{{id}}_gtFine_{pattern}.png"),
    )
    return reader.open("val", root=root, classes=CITYSCAPES, instances=True, strict=True)


def remarks(samples: Any, classes: ClassTable, folder: Path) -> str:
    figures = report("val", samples, classes, drawn=0, folder=folder)
    assert figures.ok and figures.segments is not None
    return "\n".join(figures.segments.remarks(classes))


def test_segments_are_counted_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = opened(coco_panoptic(tmp_path))
    figures = report("val", samples, TABLE, drawn=0, folder=tmp_path / "known")
    counts = figures.segments
    found = {TABLE.ids[c]: int(n) for c, n in enumerate(counts.segments) if n}
    assert found == {PERSON: 2, DOG: 2, SKY: 2, GRASS: 2}
    assert {TABLE.ids[c]: int(n) for c, n in enumerate(counts.crowds) if n} == {PERSON: 2}
    assert counts.without == ["000000000002"] and not counts.odd and figures.ok
    told = json.loads(json.dumps(figures.summary(TABLE)))["segments"]
    assert (told["things"], told["stuff"], told["crowds"]) == (4, 4, 2)
    write_table(figures, TABLE)
    printed = capsys.readouterr().out
    assert "segments: 4 of things, 4 of stuff, 2 crowds" in printed
    assert "without any thing: 1 of 3 images, such as 000000000002" in printed
    assert "odd instances" not in printed and "crowds ┃" in printed

    plain = report("val", opened(tmp_path, instances=False), TABLE, drawn=0, folder=tmp_path / "k")
    assert plain.segments is None and "segments" not in plain.summary(TABLE)
    write_table(plain, TABLE)
    assert "crowds" not in capsys.readouterr().out


def test_instances_that_do_not_fit_their_masks_are_named(tmp_path: Path) -> None:
    """Made-up frames have a corner in which the two maps disagree."""
    said = remarks(cityscapes(tmp_path, "instanceIds"), CITYSCAPES, tmp_path / "known")
    assert "odd instances: " in said and "26001 of bad-honnef/bad-honnef_000000_000001" in said


def test_files_without_any_instance_are_wrong(tmp_path: Path) -> None:
    samples = cityscapes(tmp_path, "labelIds")
    figures = report("val", samples, CITYSCAPES, drawn=0, folder=tmp_path / "known")
    said = faults_of([figures.occurrence], CITYSCAPES)["val"]
    assert re.match(r"[\d,]+ pixels are of things, but none of an instance in 2 masks of spl", said)
    assert "data.reader.instances.pattern" in said
    fine = report("val", cityscapes(tmp_path, "instanceIds"), CITYSCAPES, drawn=0, folder=tmp_path)
    assert not wrong_instances(fine.occurrence, CITYSCAPES)


@pytest.mark.parametrize("verify", ["true", "false"])
def test_a_training_of_things_of_which_none_is_an_instance_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, verify: str
) -> None:
    for split in ("train", "val"):
        write_frames(tmp_path, split, 20)
    typed = [f"data.root={tmp_path}", "data.reader.expected=null", "data.instances=true"]
    typed += [f"+data.verify_dir={tmp_path}/known", f"data.verify={verify}"]

    def data(*more: str) -> Any:
        return build(compose("train", ["data=cityscapes", *typed, *more]).data, path="data")

    data().setup("fit")
    assert "instance" not in caplog.text
    wrong = "data.reader.instances.pattern='gtFine/{split}/{id}_gtFine_labelIds.png'"
    if verify == "true":
        with pytest.raises(DataError, match=r"no instances can be learnt: .* none of an instance "):
            data(wrong).setup("fit")
        caplog.clear()
        data(wrong).setup("validate")
        assert "none of an instance in 20 masks of split `val`" in caplog.text
    else:  # the others may hold instances
        data(wrong).setup("fit")
        assert "none of an instance in 16 of the 20 masks of split `train`" in caplog.text


def test_instances_that_lie_on_other_classes_are_judged_by_split() -> None:
    for repainted, wrong, doubtful in ((0, False, False), (6, False, True), (51, True, True)):
        its = Instances(count=3, pixels=100, repainted=repainted)
        assert bool(its.fault(100, "masks")) == wrong and bool(its.doubt(100, "masks")) == doubtful
    assert not Instances(0, 0).fault(0, "a mask"), "stuff alone is no fault"
    assert "there is no thing and no instance" in Instances(0, 0).doubt(0, "a mask")


def test_the_entry_point_knows_panoptic_trees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from segsuite import check_data

    root = coco_panoptic(tmp_path / "coco", splits=("train", "val"))
    write_mask(root / f"panoptic_val2017/{3:012d}.png", colored(MAPS[1]))
    arguments = ["data=coco_panoptic", f"data.root={root}", "data.reader.expected=null"]
    arguments += ["data.instances=true", f"paths.logs={tmp_path}/logs", "images=1"]
    monkeypatch.setattr("sys.argv", ["check_data", *arguments])
    with pytest.raises(SystemExit) as stop:
        check_data.main()
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    result = json.loads(printed.strip().splitlines()[-1])
    assert result["train"]["ok"] and not result["val"]["ok"]
    assert result["train"]["segments"]["things"] == 4
    assert "faulty: " in printed and "000000000003.png holds the ids" in printed
    assert Path(result["val"]["preview"]).is_file()


def test_borders_lie_between_instances(tmp_path: Path) -> None:
    ids = torch.tensor([[0, 5, 5, 7], [0, 5, 5, 7], [0, 0, 0, 0]])
    wanted = [[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert instance_borders(ids).astype(int).tolist() == wanted


def test_the_preview_draws_borders(tmp_path: Path) -> None:
    """Two halves of one class: a line in the labels and on the overlay, and none in the image."""
    table, one = ClassTable.load("camvid11"), sample((24, 24))
    one.image.zero_(), one.label.zero_()
    halves = (torch.arange(24) // 12 + 1).int()[None].repeat(24, 1)
    white = []
    for instances in (None, halves):
        shown = Listed([type(one)(one.id, one.image, one.label, instances)])
        write_preview(shown, table, tmp_path / "sheet.png", count=1, split="val")
        sheet = np.array(Image.open(tmp_path / "sheet.png"))[:240]
        panels = [sheet[:, start : start + 240] for start in (0, 248, 496)]
        white.append([int((panel == 255).all(-1).sum()) for panel in panels])
    assert white == [[0, 0, 0], [0, 240, 240]]
