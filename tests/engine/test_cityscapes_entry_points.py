"""Cityscapes' scores and submission as they are typed, on made-up frames in its own layout."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from segsuite.evaluate import main as evaluate
from segsuite.predict import main as predict
from segsuite.train import main as train
from tests.data.cityscapes import EVALUATED, write_frames
from tests.engine.entry_points import ROOT, called
from tests.metrics.official import official_scores

ALLOW = "allow=[tests.]"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two frames to train on, three to validate on."""
    root = tmp_path_factory.mktemp("cityscapes")
    write_frames(root, "train", 2, seed=50)
    write_frames(root, "val", 3)
    return root


@pytest.fixture(scope="module")
def checkpoint(root, tmp_path_factory):
    """Of a training that was scored as Cityscapes does, too."""
    logs = tmp_path_factory.mktemp("logs")
    arguments = (
        *("--config-dir", str(ROOT / "tests" / "conf"), "method=toy", ALLOW, "trainer=cpu"),
        *("data=cityscapes", f"data.root={root}", "data.reader.expected=null"),
        *("data.num_workers=0", "data.crop_size=[24,40]", "data.batch_size=2"),
        *("data.instances=true", "callbacks=cityscapes", "callbacks.images=null"),
        *("trainer.max_steps=3", "trainer.val_check_interval=3", f"paths.logs={logs}"),
    )
    assert called(train, *arguments) == 0
    (folder,) = logs.glob("train/toy/*")
    figures = json.loads((folder / "result.json").read_text())["metrics"]
    assert {"val/class_iiou", "val/category_iou", "test/category_iiou"} <= figures.keys()
    return folder / "checkpoints" / "best.ckpt"


def scored(checkpoint, logs, capfd, *arguments):
    """The last line of the entry point, all that it printed, and its run's folder."""
    line = (f"ckpt_path={checkpoint}", ALLOW, "trainer=cpu", f"paths.logs={logs}", *arguments)
    capfd.readouterr()
    code = called(evaluate, *line)
    out, err = capfd.readouterr()
    if code:
        return None, err, None
    (folder,) = logs.glob("evaluate/*/*")
    return json.loads(out.splitlines()[-1]), out + err, folder


def test_evaluation_and_submission_agree_with_the_official_evaluator(
    checkpoint, root, tmp_path, capfd, monkeypatch
):
    given = ("scores=cityscapes", "submission=cityscapes", "data.instances=true")
    found, said, folder = scored(checkpoint, tmp_path, capfd, *given)
    files = sorted((folder / "submission").iterdir())
    labels = sorted(root.glob("gtFine/val/*/*_labelIds.png"))
    assert [f.name for f in files] == [p.name.replace("gtFine_", "") for p in labels]
    assert "Cityscapes' scores" in said and "iIoU needs" not in said
    for path in files:
        image = Image.open(path)
        assert image.mode == "L" and image.size == (40, 24)
        assert set(np.unique(np.array(image)).tolist()) <= set(EVALUATED)
    written = json.loads((folder / "cityscapes.json").read_text())
    assert {"flat", "human", "vehicle"} < set(written["categories"])
    assert written["classes"]["road"]["iiou"] is None
    official = official_scores(list(zip(files, labels, strict=True)), monkeypatch)
    for ours, theirs in {
        "class_iou": "averageScoreClasses",
        "class_iiou": "averageScoreInstClasses",
        "category_iou": "averageScoreCategories",
        "category_iiou": "averageScoreInstCategories",
    }.items():
        assert written["means"][ours] == pytest.approx(official[theirs], abs=1e-9)
        assert found["metrics"][f"val/{ours}"] == pytest.approx(official[theirs], abs=1e-6)


def test_a_split_without_labels_is_for_a_submission_alone(checkpoint, root, tmp_path, capfd):
    shutil.copytree(root, tmp_path / "data")
    for path in (tmp_path / "data").glob("gtFine/val/*/*_labelIds.png"):
        Image.new("L", (40, 24)).save(path)
    given = (f"data.root={tmp_path / 'data'}", "data.instances=false")
    _, said, folder = scored(checkpoint, tmp_path / "none", capfd, *given)
    assert folder is None and "split=val holds no pixel with a class" in said
    given = (*given, "submission=cityscapes")
    found, _, folder = scored(checkpoint, tmp_path / "some", capfd, *given)
    assert found["optimized"] is None and len(list((folder / "submission").iterdir())) == 3


def test_instances_are_read_only_when_asked_for(checkpoint, root, tmp_path, capfd):
    for path in root.glob("gtFine/val/*/*_instanceIds.png"):
        path.rename(path.with_suffix(".away"))
    try:
        given = ("scores=cityscapes", "data.instances=false")
        found, said, folder = scored(checkpoint, tmp_path, capfd, *given)
        assert "val/category_iou" in found["metrics"] and "val/class_iiou" not in found["metrics"]
        assert "type data.instances=true" in said and not (folder / "submission").exists()
        given = ("scores=cityscapes", "data.instances=true")
        _, said, _ = scored(checkpoint, tmp_path, capfd, *given)
        assert "have no instance ids" in said and "Traceback" not in said
    finally:
        for path in root.glob("gtFine/val/*/*.away"):
            path.rename(path.with_suffix(".png"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scores=cityscape"], "there is no `scores=cityscape`; did you mean `cityscapes`?"),
        (["scores=cityscapes", "scores.categories.sky=[]"], "`sky` is in no category of scores."),
        (["submission=cityscapes", "submission.classes=camvid11"], "`road` is not in the table"),
    ],
)
def test_what_does_not_fit_is_said(checkpoint, tmp_path, capfd, arguments, said):
    assert said in scored(checkpoint, tmp_path, capfd, *arguments)[1]


def test_images_become_a_submission(checkpoint, root, tmp_path, capfd):
    line = (f"ckpt_path={checkpoint}", ALLOW, "device=cpu", f"paths.logs={tmp_path}")
    out = tmp_path / "out"
    frames = f"input={root}/leftImg8bit/val/*/*.png"
    assert called(predict, *line, frames, f"output={out}", "submission=cityscapes") == 0
    names = sorted(path.name for path in (out / "submission").iterdir())
    assert len(names) == 3
    assert all(re.fullmatch(r"[a-z-]+_\d{6}_\d{6}_labelIds\.png", name) for name in names)
    mask = np.array(Image.open(out / "masks" / "ulm_000000_000000_leftImg8bit.png"))
    submitted = np.array(Image.open(out / "submission" / "ulm_000000_000000_labelIds.png"))
    assert (mask == submitted).all()

    other = tmp_path / "holiday.png"
    Image.fromarray(np.zeros((24, 40, 3), np.uint8)).save(other)
    given = (f"input={other}", f"output={tmp_path / 'no'}", "submission=cityscapes")
    assert called(predict, *line, *given) == 2
    assert "`holiday` is no frame of Cityscapes" in capfd.readouterr().err
