"""Exported files say what they are, and label images as the network does, without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core.errors import CheckpointError
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph
from segsuite.measure.images import resized
from segsuite.runtime.description import Description
from segsuite.runtime.onnx_model import OnnxModel, labels_of_grid, nearest, stretched
from tests.docs.readme import BLOCKS
from tests.exporting.made import CLASSES, SIZE, images, small

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

TABLE = ClassTable(
    names=tuple(f"class {n}" for n in range(CLASSES)),
    colors=distinct_colors(CLASSES),
    ids=tuple(10 * n + 7 for n in range(CLASSES)),
    ignore=255,
)


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def written(network, tmp_path_factory):
    """A file by its output."""
    folder = tmp_path_factory.mktemp("files")

    def file(output: str) -> Path:
        path = folder / f"{output}.onnx"
        if not path.exists():
            graph = Graph(network, size=SIZE, output=output)
            rows, columns = graph.places()
            about = Description(
                classes=TABLE,
                size=SIZE,
                output=output,
                rows=tuple(rows),
                columns=tuple(columns),
                network="net",
                iteration=300,
            )
            (wanted,) = formats(["onnx"])
            wanted.made(graph, path, None, opset=18, threads=1, about=about)
        return path

    return file


def test_a_file_carries_classes_input_and_iteration(written):
    found = OnnxModel(written("labels")).description
    assert found.classes.names == TABLE.names and found.classes.ids == TABLE.ids
    assert (found.classes.colors == TABLE.colors).all() and found.classes.ignore == 255
    assert (found.size, found.output, found.iteration) == (SIZE, "labels", 300)
    carried = {p.key: p.value for p in onnx.load(written("labels")).metadata_props}
    assert '"range": [0, 255]' in carried["input"] and '"channels": "RGB"' in carried["input"]


@pytest.mark.parametrize("output", ["labels", "grid"])
def test_images_of_the_files_size_get_the_networks_labels(network, written, output):
    image = images(1, seed=5)
    with torch.no_grad():
        expected = network.predict(image).labels(SIZE)[0].numpy()
    found = OnnxModel(written(output)).labels(image[0].permute(1, 2, 0).numpy())
    assert found.shape == SIZE and (found == expected).mean() > 0.999


def test_labels_of_other_images_come_back_at_their_size(network, written):
    image = torch.nn.functional.interpolate(images(1, seed=5).float(), (70, 61)).byte()[0]
    found = OnnxModel(written("labels")).labels(image.permute(1, 2, 0).numpy())
    with torch.no_grad():
        seen = network.predict(resized(image, SIZE)[None]).labels(SIZE)
    expected = torch.nn.functional.interpolate(seen[None].double(), (70, 61), mode="nearest-exact")
    assert found.shape == (70, 61)
    assert (found == expected[0, 0].long().numpy()).mean() > 0.99  # Pillow rounds in between


def test_stretching_is_torchs_with_antialiasing():
    image = images(1, seed=2)[0]
    ours = stretched(image.permute(1, 2, 0).numpy(), (20, 61)).astype(int)
    theirs = resized(image, (20, 61)).permute(1, 2, 0).numpy().astype(int)
    assert abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("size", [(3, 4), (12, 9), (11, 30)])
def test_the_nearest_label_is_that_of_nearest_exact(size):
    labels = torch.arange(42).view(1, 1, 6, 7)
    expected = torch.nn.functional.interpolate(labels.double(), size, mode="nearest-exact")
    assert (nearest(labels[0, 0].numpy(), size) == expected[0, 0].numpy()).all()


def test_a_grid_is_interpolated_between_its_places():
    scores = np.array([[[0.0, 4.0]], [[1.0, 1.0]]], dtype=np.float32)  # crosses at a quarter
    found = labels_of_grid(scores, np.zeros(2), np.array([0, 0.2, 0.3, 1]))
    assert found.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]


def test_files_of_others_and_damaged_descriptions_are_named(written, tmp_path):
    model = onnx.load(written("labels"))
    properties = {its.key: its.value for its in model.metadata_props}
    for changes, said in (
        (None, r"x\.onnx does not say what its classes are.*Export the network again"),
        ({"ids": "[1, 2]"}, r"x\.onnx does not describe itself.*of one number"),
        ({"names": "{"}, r"x\.onnx does not describe itself"),
        ({"output": '"boxes"'}, r"boxes.*is not one of labels, scores, grid"),
        ({"input": '{"shape": [1, 3, 8, 8], "dtype": "uint8"}'}, r"x\.onnx takes .*8, 8"),
    ):
        onnx.helper.set_model_props(model, {} if changes is None else properties | changes)
        onnx.save_model(model, tmp_path / "x.onnx")
        with pytest.raises(CheckpointError, match=said):
            OnnxModel(tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"ONNX Runtime cannot load .*x\.onnx"):
        OnnxModel(tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match="no ONNX file at"):
        OnnxModel(tmp_path / "nowhere.onnx")


def test_reading_needs_no_torch():
    code = (
        "import sys, segsuite.runtime.onnx_model, segsuite.runtime.panoptic; "
        "print([m for m in ('torch', 'lightning', 'omegaconf') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_the_readmes_snippet_reads_a_file(written, tmp_path, monkeypatch):
    """What it writes are the masks and colours that `predict` writes."""
    (block,) = [its for its in BLOCKS if "onnxruntime.InferenceSession" in its]
    monkeypatch.chdir(tmp_path)
    Path("network.onnx").write_bytes(written("labels").read_bytes())
    image = images(1, seed=5)[0].permute(1, 2, 0).numpy()
    Image.fromarray(image).resize((61, 70)).save("street.png")
    exec(compile(block, "README.md", "exec"), {})
    model = OnnxModel("network.onnx")
    labels = model.labels(np.asarray(Image.open("street.png")), SIZE)
    assert (np.asarray(Image.open("mask.png")) == TABLE.raw(labels)).all()
    assert (np.asarray(Image.open("colours.png")) == TABLE.colors[labels]).all()
