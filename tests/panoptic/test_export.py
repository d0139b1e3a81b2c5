"""An exported panoptic network: static shapes up to the centres, and the network's segments."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite import api
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.labels import IGNORE
from segsuite.data.class_table import ClassTable
from segsuite.data.instance_files import read_instances, read_masks
from segsuite.engine.accuracy import Accuracy, accuracies
from segsuite.engine.inference.answers import Segments
from segsuite.engine.inference.candidates import from_checkpoint, from_file
from segsuite.engine.inference.exported import ExportedPredictor
from segsuite.engine.inference.modes import Whole
from segsuite.engine.inference.prediction import NetworkPredictor
from segsuite.export import main as export
from segsuite.exporting.errors import ExportError
from segsuite.exporting.formats import Made, formats
from segsuite.exporting.labelling import RUNTIMES
from segsuite.exporting.panoptic_graph import _equal
from segsuite.exporting.parity import Limits, Parity
from segsuite.nn.grouping import Grouping
from segsuite.predict import main as predict
from segsuite.runtime.description import Description
from segsuite.runtime.onnx_model import OnnxModel
from tests.engine.entry_points import called
from tests.panoptic.made import CLASSES, SIZE, images, made, small

DATA = ("data.reader.lengths={train: 2, val: 2}", "parity.images=2", "allow=[tests.]", "name=net")
LOOSE = "parity.instances=0.5"  # heat of equal height beside each other is one centre or two
MOST = 100
OWN_EVALUATOR = (
    "method.task.evaluator={_target_: segsuite.engine.panoptic_evaluator.PanopticEvaluator, "
    "_partial_: true, ap: false}"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "made.ckpt"
    made(path)
    return path


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("exported")
    grouping = ("method.grouping.stuff_area=300", f"method.grouping.most={MOST}")
    line = (f"ckpt_path={saved}", f"output_folder={folder}", *DATA, *grouping, LOOSE)
    assert called(export, *line, f"paths.logs={folder}") == 0
    (record,) = folder.rglob("result.json")
    (row,) = json.loads(record.read_text())["record"]["entries"]
    assert row["metrics"]["equal_segments"]["value"] >= 0.5
    return folder / "net.onnx"


def test_a_file_gives_the_segments_of_the_network(exported):
    model, (photo,) = OnnxModel(exported), images(1, seed=3)
    labels, found = model.answer(photo.permute(1, 2, 0).numpy())
    with torch.inference_mode():
        (evidence,) = Whole().evidence(small(), [photo], [SIZE])
    wanted = Grouping(stuff_area=300, most=MOST)(evidence, CLASSES.things, seen=SIZE)
    assert (labels == wanted.semantic.numpy()).mean() > 0.999
    assert len(found.areas) == MOST and (wanted.areas > 0).sum() > 2
    maps = (wanted.labels, wanted.instances, found.labels, found.instances)
    # Two neighbours of equal heat are one centre or two by the last digit: not all need be equal.
    assert _equal(*map(np.asarray, maps)) > 0.9


def test_shapes_are_static_and_the_file_says_what_it_gives(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported)
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    assert shapes == {
        "labels": [1, *SIZE],
        "probabilities": [1, *SIZE],
        "offsets": [1, 2, *SIZE],
        "centres": [1, MOST, 2],
        "heat": [1, MOST],
    }
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about["instances"])["stuff_area"] == 300
    assert json.loads(about["things"]) == sorted(CLASSES.things)
    foreign = exported.with_name("foreign.onnx")
    del model.graph.output[2:]
    onnx.save_model(model, foreign)
    with pytest.raises(CheckpointError, match="gives labels, probabilities, but things"):
        OnnxModel(foreign)
    about["instances"] = '{"outputs": ["masks"], "stuff_area": 300}'
    with pytest.raises(CheckpointError, match="things are told apart by"):
        Description.from_properties(about, "x.onnx")


def test_a_file_predicts_as_a_checkpoint_does(exported, tmp_path):
    (photo,) = images(1, seed=3)
    pixels = photo.permute(1, 2, 0).numpy()
    larger = Image.fromarray(pixels).resize((150, 100))
    (tmp_path / "in").mkdir()
    larger.save(tmp_path / "in" / "a.png")
    line = (f"ckpt_path={exported}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}")
    assert called(predict, *line, f"paths.logs={tmp_path}") == 0
    (entry,) = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    labels, found = OnnxModel(exported).answer(np.asarray(larger))
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    assert np.array_equal(mask, CLASSES.raw(labels)) and labels.shape == (100, 150)
    instances = set(found.instances.flat) - {0}
    stuff = set(found.labels[found.instances == 0].flat) - {IGNORE}
    assert instances and len(entry["segments_info"]) == len(instances) + len(stuff)


def test_a_file_tells_of_instances_as_the_network_does(exported):
    (photo,) = images(1, seed=3)
    network = NetworkPredictor(
        small(),
        CLASSES,
        inference=Whole(),
        transform=lambda image: image,
        grouping=Grouping(stuff_area=300, most=MOST),
    )
    one, other = (
        predictor.answers([photo], [SIZE])[0].segments
        for predictor in (network, ExportedPredictor(exported))
    )
    assert one is not None and other is not None
    tables = []
    for segments in (one, other):
        assert {name: tensor.dtype for name, tensor in vars(segments).items()} == {
            "labels": torch.int16,
            "instances": torch.int32,
            "ids": torch.int64,
            "classes": torch.int64,
            "scores": torch.float32,
        }
        rows = zip(*(vars(segments)[c].tolist() for c in ("ids", "classes", "scores")), strict=True)
        tables.append({mask_of(segments, i): (label, score) for i, label, score in rows})
        assert len(tables[-1]) == len(segments.ids) == len(segments.instances.unique()) - 1 > 10
    # As above: two neighbours of equal heat are one centre or two, so that a few masks differ.
    both = tables[0].keys() & tables[1].keys()
    assert len(both) > 0.8 * len(tables[0])
    for mask in both:
        assert tables[0][mask] == (tables[1][mask][0], pytest.approx(tables[1][mask][1], rel=1e-3))


def test_a_file_is_timed_to_segments(exported, saved):
    file, network = (
        from_file(str(exported), size=SIZE),
        from_checkpoint(str(saved), size=SIZE, allow=("tests.",)),
    )
    assert file.to_segments and network.to_segments
    (to_segments,) = file.steps(SIZE)
    (answer,) = to_segments(images(1, seed=3))
    assert answer.segments.instances.shape == SIZE
    predict_, group = network.steps(SIZE)
    (found,) = group(predict_(images(1, seed=3)))
    assert found.instances.shape == SIZE


def mask_of(segments: Segments, instance: int) -> bytes:
    """The pixels of an instance, all of which are of its class."""
    mask = segments.instances == instance
    assert len(segments.labels[mask].unique()) == 1
    return mask.numpy().tobytes()


def test_a_file_writes_instances_as_cityscapes_reads_them(exported, tmp_path):
    (photo,) = images(1, seed=3)
    pixels = photo.permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "ulm_000000_000001_leftImg8bit.png")
    line = (f"ckpt_path={exported}", f"input={tmp_path}/*.png", f"output={tmp_path / 'out'}")
    assert called(predict, *line, "submission=cityscapes", f"paths.logs={tmp_path}") == 0
    told = read_instances(tmp_path / "out" / "submission_instances" / "ulm_000000_000001.txt")
    _, found = OnnxModel(exported).answer(pixels)
    ids, classes, scores = found.table
    raw = ClassTable.load("cityscapes19").ids
    assert [i.category for i in told] == [raw[label] for label in classes]
    assert [i.score for i in told] == scores.tolist()
    masks = read_masks(told, SIZE) > 0
    assert np.array_equal(masks, found.instances == ids[:, None, None])


def test_what_does_not_tell_apart_says_so(saved, tmp_path, monkeypatch, capfd):
    written = []

    def noted(graph, path, images, **kind):
        written.append(graph.outputs)
        raise ConfigError("written is nothing")

    only = [replace(formats(["onnx_int8"])[0], packages=(), write=noted)]
    monkeypatch.setattr("segsuite.exporting.export.formats", lambda names: only)
    line = (f"ckpt_path={saved}", f"output_folder={tmp_path}", *DATA, "calibration.least=1")
    assert called(export, *line, f"paths.logs={tmp_path}") == 2
    assert written == [("labels",)]
    said = " ".join(capfd.readouterr().err.split())
    assert "gets classes alone; instances are in formats=[onnx] output=labels" in said


@pytest.fixture
def in_torch(monkeypatch) -> None:
    """A runtime that is torch, in place of all others, which writes empty files."""

    def write(graph, path, images, **kind):
        path.touch()
        return Made(lambda image: [graph(image)])

    only = [replace(formats(["executorch"])[0], packages=(), write=write)]
    for module in ("export", "labelling"):
        monkeypatch.setattr(f"segsuite.exporting.{module}.formats", lambda names: only)


def test_labels_are_scored_whatever_evaluates_segments(in_torch, saved, tmp_path, capsys):
    line = (f"ckpt_path={saved}", f"output_folder={tmp_path}", *DATA, "accuracy.measure=true")
    assert called(export, *line, OWN_EVALUATOR, f"paths.logs={tmp_path}") == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < said["miou"] < 1 and said["files"]["executorch"]["miou"] == said["miou"]


def test_a_benchmark_scores_labels_whatever_evaluates_segments(tmp_path):
    network, photo = made(tmp_path / "own.ckpt", OWN_EVALUATOR), images(1, seed=3)
    (label,) = network.predict(photo).labels(SIZE)
    data = SimpleNamespace(
        classes=CLASSES,
        samples=lambda split: [SimpleNamespace(image=photo[0], label=label)],
        eval_transform=lambda image: image,
    )
    candidate = from_checkpoint(str(tmp_path / "own.ckpt"), size=SIZE, allow=("tests.",))
    kind = {"images": None, "precision": nullcontext(), "tell": lambda text: None}
    scores, _ = accuracies([candidate], data, size=SIZE, **kind)
    assert scores == {candidate.name: Accuracy(1.0, 1, 1)}


def test_runtimes_label_by_a_grid_of_its_scores(in_torch):
    network, photo = small(), images(1, seed=3)
    with torch.inference_mode():
        labels = RUNTIMES["executorch"](network, SIZE, photo, 1)(photo)
        assert (labels == network.predict(photo).labels(SIZE)).double().mean() > 0.999


@pytest.mark.parametrize("override", ["parity.instances=0.99", "method.grouping.stuff_area=5"])
@pytest.mark.parametrize("typed", ["formats=[executorch,onnx_int8]", "output=scores"])
def test_what_would_change_no_instance_is_refused(saved, tmp_path, capfd, override, typed):
    line = (f"ckpt_path={saved}", f"output_folder={tmp_path / 'out'}", *DATA, typed, override)
    assert called(export, *line, f"paths.logs={tmp_path}") == 2
    said = " ".join(capfd.readouterr().err.split())
    assert f"{override} would change nothing" in said and "in formats=[onnx] output=labels" in said
    assert not (tmp_path / "out").exists()


def test_segments_of_random_weights_are_not_compared(tmp_path, capfd):
    line = ("experiment=panoptic_scenes", "parity.instances=0.99", f"output_folder={tmp_path}")
    assert called(export, *line, f"paths.logs={tmp_path}") == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "parity.instances=0.99 would change nothing: segments of random weights are" in said


@pytest.mark.parametrize("kind", [{"output": "scores"}, {"output": "labels", "int8": True}])
def test_files_of_classes_alone_say_what_to_export(monkeypatch, kind):
    about = Description(classes=CLASSES, size=SIZE, **kind)
    answer = (np.zeros(SIZE, np.int64), None)
    file = SimpleNamespace(description=about, answer=lambda pixels, size: answer)
    monkeypatch.setattr("segsuite.runtime.onnx_model.OnnxModel", lambda path, threads: file)
    said = r"export it again with formats=\[onnx\] output=labels, or give the checkpoint"
    with pytest.raises(ConfigError, match=said):
        api.segments(api.load("network.onnx"), images(1)[0])


def test_segments_are_equal_whatever_their_numbers():
    labels = np.array([[1, 1, 1, 1], [0, 0, -1, -1]])
    one = np.array([[7, 7, 8, 8], [0, 0, 0, 0]])
    assert _equal(labels, one, labels, np.array([[8, 8, 7, 7], [0, 0, 0, 0]])) == 1.0
    assert _equal(labels, one, labels, np.array([[7, 7, 7, 9], [0, 0, 0, 0]])) == 7 / 8
    assert _equal(labels, one, labels - 1, one) == 0.0
    apart = Parity(images=1, difference=0.0, scale=1.0, agreement=1.0, instances=0.5)
    with pytest.raises(ExportError, match=r"50\.0000 % of the pixels are in equal segments"):
        apart.check(Limits(), name="x.onnx")
    apart.check(Limits(instances=0.5), name="x.onnx")
