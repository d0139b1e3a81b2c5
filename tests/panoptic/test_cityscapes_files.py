"""`submission=cityscapes` of a panoptic network: read back, and by the official evaluators."""

import csv
import importlib
import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.instance_files import read_instances, read_masks
from segsuite.data.panoptic_files import maps_of_segments, read_panoptic_json, read_segments
from segsuite.data.submission import CityscapesSubmission
from segsuite.engine.callbacks.cityscapes import SubmissionFiles
from segsuite.engine.inference.answers import Answer, Segments
from segsuite.engine.inference.cityscapes_files import CityscapesFiles
from segsuite.engine.inference.modes import Whole
from segsuite.evaluate import main as evaluate
from segsuite.nn.grouping import Grouping, PanopticMap
from segsuite.predict import main as predict
from tests.data.layouts import write_mask
from tests.engine.entry_points import called, command, only, run
from tests.metrics.official import official_instance_ap, official_panoptic
from tests.panoptic.made import CLASSES, SIZE, images, made

TABLE = ClassTable.load("cityscapes19")
FRAMES = ("bad-honnef_000000_000294", "frankfurt_000000_000294", "frankfurt_000001_000001")
TYPED = ("method.grouping.stuff_area=300", "inference.batch=1", "allow=[tests.]")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """Frames in Cityscapes' layout, a checkpoint, and what its network says of each frame."""
    root = tmp_path_factory.mktemp("cityscapes")
    data = ("data=cityscapes", f"data.root={root}", "data.reader.expected=null")
    network = made(root / "made.ckpt", *data, "data.instances=true", classes=TABLE)
    found = {}
    for number, (name, photo) in enumerate(zip(FRAMES, images(len(FRAMES), seed=3), strict=True)):
        with torch.inference_mode():
            (evidence,) = Whole().evidence(network, [photo], [SIZE])
        found[name] = Grouping(stuff_area=300)(evidence, TABLE.things, seen=SIZE)
        place = f"val/{name.split('_')[0]}/{name}"
        image = root / f"leftImg8bit/{place}_leftImg8bit.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo.permute(1, 2, 0).numpy()).save(image)
        raw = truth(found[name], moved=number)
        write_mask(root / f"gtFine/{place}_gtFine_instanceIds.png", raw)
        labels = np.where(raw >= 1000, raw // 1000, raw).astype(np.uint8)
        write_mask(root / f"gtFine/{place}_gtFine_labelIds.png", labels)
    assert all(len(one.table[0]) > 10 and (one.labels < 0).any() for one in found.values())
    return SimpleNamespace(root=root, checkpoint=root / "made.ckpt", found=found)


def truth(found: PanopticMap, *, moved: int) -> np.ndarray:
    """(H, W) uint16 instance ids that are near to a prediction."""
    labels, instances = found.labels.numpy(), found.instances.numpy()
    raw = TABLE.raw(labels).astype(np.int64)
    raw = np.where(instances > 0, raw * 1000 + instances % 1000, raw)
    return np.roll(raw, moved, axis=1).astype(np.uint16)


def check_read_back(folder: Path, found: dict[str, PanopticMap]) -> None:
    """What was written of each frame is what the network said of it."""
    file = read_panoptic_json(folder / "submission_panoptic" / "panoptic.json")
    assert sorted(file.images) == sorted(found) and set(file.sizes.values()) == {SIZE}
    assert file.categories == {raw: c in TABLE.things for c, raw in enumerate(TABLE.ids)}
    for name, one in found.items():
        ids = read_segments(folder / "submission_panoptic" / "panoptic", file.images[name], file)
        labels, instances = maps_of_segments(ids, file.images[name].segments, TABLE)
        assert np.array_equal(labels, one.labels.numpy())
        pairs = set(zip(instances.flat, one.instances.flatten().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 10
        told = read_instances(folder / "submission_instances" / f"{name}.txt")
        own, classes, scores = (column.tolist() for column in one.table)
        assert [i.category for i in told] == [TABLE.ids[label] for label in classes]
        assert [i.score for i in told] == scores
        masks = one.instances.numpy() == np.array(own)[:, None, None]
        assert np.array_equal(read_masks(told, SIZE) > 0, masks)
        written = np.asarray(Image.open(folder / "submission" / f"{name}_labelIds.png"))
        assert np.array_equal(written, TABLE.raw(one.semantic.numpy()))


@pytest.fixture(scope="module")
def evaluated(given, tmp_path_factory) -> Path:
    """The folder of an evaluation."""
    logs = tmp_path_factory.mktemp("logs")
    line = (f"ckpt_path={given.checkpoint}", *TYPED, "trainer=cpu", f"paths.logs={logs}")
    assert called(evaluate, *line, "submission=cityscapes") == 0
    return only(logs, "evaluate/*/*/result.json").parent


def test_evaluation_writes_what_the_network_says(given, evaluated):
    check_read_back(evaluated, given.found)


def test_official_evaluators_read_it_and_agree(given, evaluated, tmp_path, monkeypatch):
    preparation = "cityscapesscripts.preparation.createPanopticImgs"
    convert = pytest.importorskip(preparation, exc_type=ImportError).convert2panoptic
    convert(str(given.root / "gtFine"), str(tmp_path), setNames=["val"])
    metrics = json.loads((evaluated / "result.json").read_text())["metrics"]
    results = evaluated / "submission_panoptic" / "panoptic.json"
    scores = official_panoptic(tmp_path / "cityscapes_panoptic_val.json", results)
    assert 0.1 < scores["All"]["pq"] < 1
    for ours, theirs in (("pq", "All"), ("pq_things", "Things"), ("pq_stuff", "Stuff")):
        assert metrics[f"val/{ours}"] == pytest.approx(scores[theirs]["pq"], abs=1e-6)

    labels = sorted(given.root.glob("gtFine/val/*/*_instanceIds.png"))
    for kind, folder, ending in (
        ("PixelLevel", "submission", "_labelIds.png"),
        ("InstanceLevel", "submission_instances", ".txt"),
    ):
        name = f"cityscapesscripts.evaluation.eval{kind}SemanticLabeling"
        pairing = importlib.import_module(name).getPrediction
        args = Namespace(predictionPath=str((evaluated / folder).resolve()), predictionWalk=None)
        pairs = []
        for path in labels:  # the two take their arguments in opposite order
            given_to_it = (args, str(path)) if kind == "PixelLevel" else (str(path), args)
            pairs.append((Path(pairing(*given_to_it)), path))
        assert [one.name for one, _ in pairs] == [f"{frame}{ending}" for frame in FRAMES]
    averages = official_instance_ap(pairs, evaluated / folder, monkeypatch)["averages"]
    assert metrics["val/ap"] == pytest.approx(averages["allAp"], abs=1e-6)
    assert 0.1 < averages["allAp"] < 1


def counts(file: Path) -> list[tuple[str, ...]]:
    """Class, segments found, made up and missed."""
    with file.open(newline="") as handle:
        return [
            tuple(row[k] for k in ("class", "tp", "fp", "fn")) for row in csv.DictReader(handle)
        ]


def test_two_processes_score_and_write_three_frames_as_one(given, evaluated, tmp_path):
    line = (f"ckpt_path={given.checkpoint}", *TYPED, f"paths.logs={tmp_path}")
    code, _, err = run(command("evaluate", *line, "submission=cityscapes", "trainer=ddp_cpu"))
    assert code == 0, err
    folder = only(tmp_path, "evaluate/*/*/result.json").parent
    check_read_back(folder, given.found)
    one, two = (f / "submission_panoptic" / "panoptic.json" for f in (evaluated, folder))
    assert one.read_text() == two.read_text()
    alone, both = (
        json.loads((f / "result.json").read_text())["metrics"] for f in (evaluated, folder)
    )
    for name in ("pq", "pq_things", "sq_stuff", "ap", "miou"):
        assert both[f"val/{name}"] == pytest.approx(alone[f"val/{name}"], abs=1e-12), name
        assert both[f"val/{name}"] > 0.1, name
    one, two = (counts(f / "panoptic.csv") for f in (evaluated, folder))
    assert one == two and sum(int(tp) for _, tp, _, _ in one) > 5


def test_images_become_a_submission(given, tmp_path, capfd):
    """By a network whose own table has other ids."""
    assert CLASSES.ids != TABLE.ids and CLASSES.names == TABLE.names
    made(tmp_path / "scenes.ckpt")
    line = (f"ckpt_path={tmp_path / 'scenes.ckpt'}", *TYPED, "device=cpu", f"paths.logs={tmp_path}")
    line = (*line, "submission=cityscapes", "legend=false")
    frames, out = f"input={given.root}/leftImg8bit/val/*/*.png", tmp_path / "out"
    assert called(predict, *line, frames, f"output={out}") == 0
    check_read_back(out, given.found)
    assert "submission_panoptic" in capfd.readouterr().out
    own = read_panoptic_json(out / "panoptic.json")
    assert own.categories.keys() == set(CLASSES.ids) and own.images.keys() != given.found.keys()

    other = tmp_path / "in" / "ulm_000000_000001.png"
    other.parent.mkdir()
    for name in (other.name, "ulm_000000_000001_leftImg8bit.png"):
        Image.new("RGB", (96, 64)).save(other.with_name(name))
    assert called(predict, *line, f"input={other.parent}", f"output={tmp_path / 'no'}") == 2
    assert "would become one file of the submission" in capfd.readouterr().err
    assert not (tmp_path / "no").exists()


def test_names_that_are_no_frames_are_said(tmp_path):
    submission = CityscapesSubmission(classes="cityscapes19")
    files = CityscapesFiles(tmp_path / "of", submission, trained=TABLE, tells_apart=False)
    with pytest.raises(DataError, match="`holiday` is no frame of Cityscapes"):
        files.write("holiday", Answer(torch.zeros(4, 6, dtype=torch.int32)))


def test_things_that_do_not_fit_are_said_before_the_first_file(given, tmp_path, capfd):
    submission = CityscapesSubmission(classes="cityscapes19")
    for things, said in (
        (TABLE.things - {11}, "`person` is no thing to the network and one in the table"),
        (TABLE.things | {0}, "`road` is a thing to the network and none in the table"),
    ):
        kind = {"trained": replace(TABLE, things=things)}
        with pytest.raises(ConfigError, match=said):
            CityscapesFiles(tmp_path / "of", submission, **kind, tells_apart=True)
        CityscapesFiles(tmp_path / "of", submission, **kind, tells_apart=False)
        task = SimpleNamespace(classes=kind["trained"], needs_instances=True)
        with pytest.raises(ConfigError, match=said):
            SubmissionFiles(folder=tmp_path / "of", submission=submission).begin(task)
    path, out = tmp_path / "made.ckpt", tmp_path / "out"
    made(path, classes=replace(CLASSES, things=CLASSES.things | {0}))
    line = (f"ckpt_path={path}", f"input={given.root}/leftImg8bit/val/*/*.png", f"output={out}")
    line = (*line, "submission=cityscapes", "allow=[tests.]", "device=cpu")
    assert called(predict, *line, f"paths.logs={tmp_path / 'logs'}") == 2
    assert "`road` is a thing to the network" in " ".join(capfd.readouterr().err.split())
    assert not out.exists() and not (tmp_path / "of").exists()


def test_a_frame_without_instances_has_an_empty_file(tmp_path):
    submission = CityscapesSubmission(classes="cityscapes19")
    files = CityscapesFiles(tmp_path / "of", submission, trained=TABLE, tells_apart=True)
    maps = torch.full((4, 6), 10, dtype=torch.int32)
    none = torch.zeros(0, dtype=torch.int64)
    files.write(FRAMES[0], Answer(maps, Segments(maps, maps * 0, none, none, none.float())))
    files.finish()
    assert read_instances(tmp_path / "of_instances" / f"{FRAMES[0]}.txt") == []
    (entry,) = read_panoptic_json(tmp_path / "of_panoptic" / "panoptic.json").images.values()
    assert [(s.category, s.area) for s in entry.segments] == [(23, 24)]


def test_labels_alone_are_written_as_before(tmp_path):
    submission = CityscapesSubmission(classes="cityscapes19")
    files = CityscapesFiles(tmp_path / "of", submission, trained=TABLE, tells_apart=False)
    files.write(f"ulm/{FRAMES[0]}_leftImg8bit", Answer(torch.tensor([[0, 18, -1]])))
    files.finish()
    (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert path == tmp_path / "of" / f"{FRAMES[0]}_labelIds.png" and files.folders == (path.parent,)
    assert np.asarray(Image.open(path)).tolist() == [[7, 33, 0]]
