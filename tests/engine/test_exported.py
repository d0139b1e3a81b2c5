"""`predict` with an exported ONNX file: the files that a checkpoint gives, and refusals."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.data.class_table import ClassTable
from segsuite.engine.inference.exported import config_to_predict
from segsuite.runtime.description import Description
from segsuite.runtime.onnx_model import nearest, stretched
from tests.engine.entry_points import called

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = (16, 24)
TABLE = ClassTable(
    names=("red", "green", "blue"),
    colors=np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
    ids=(7, 20, 33),
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A file whose label is the brightest channel."""
    of, kind = onnx.helper, onnx.TensorProto
    graph = of.make_graph(
        [
            of.make_node("Cast", ["image"], ["float"], to=kind.FLOAT),
            of.make_node("ArgMax", ["float"], ["labels"], axis=1, keepdims=0),
        ],
        "brightest",
        [of.make_tensor_value_info("image", kind.UINT8, [1, 3, *SIZE])],
        [of.make_tensor_value_info("labels", kind.INT64, [1, *SIZE])],
    )
    model = of.make_model(graph, opset_imports=[of.make_opsetid("", 18)], ir_version=9)
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    onnx.save_model(model, path.with_name("foreign.onnx"))
    about = Description(classes=TABLE, size=SIZE, output="labels")
    of.set_model_props(model, about.to_properties())
    onnx.save_model(model, path)
    return path


def entry_point(name: str, *arguments: str) -> int:
    return called(import_module(f"segsuite.{name}").main, *arguments)


def test_images_become_the_files_that_a_checkpoint_gives(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("segsuite.engine.inference.prediction.network_of", None)  # none is built
    random = np.random.default_rng(0)
    images = {"a": (16, 24), "b": (30, 20)}
    (tmp_path / "in").mkdir()
    for name, size in images.items():
        pixels = random.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
        images[name] = pixels
    typed = (f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}", f"paths.logs={tmp_path}")
    assert entry_point("predict", f"ckpt_path={exported}", *typed) == 0
    for name, pixels in images.items():
        mask = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png"))
        labels = nearest(stretched(pixels, SIZE).argmax(axis=2), pixels.shape[:2])
        assert (mask == TABLE.raw(labels)).all()
        assert (tmp_path / "out" / "overlays" / f"{name}.png").is_file()


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("predict", ("inference=slide",), "inference=slide would change nothing"),
        ("predict", ("device=cuda",), "an ONNX file is run on the CPU"),
        ("predict", ("ckpt_path={}/foreign.onnx",), "does not say what its classes are"),
        ("evaluate", (), "segsuite.predict makes masks, and segsuite.export measures the mIoU"),
    ],
)
def test_what_a_file_cannot_do_is_said(name, typed, said, exported, tmp_path, capfd):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    given = {"predict": (f"input={tmp_path}/a.png", f"output={tmp_path}/out"), "evaluate": ()}
    typed = [argument.replace("{}", str(exported.parent)) for argument in typed]
    path = [] if any(t.startswith("ckpt_path") for t in typed) else [f"ckpt_path={exported}"]
    assert entry_point(name, *path, *given[name], *typed, f"paths.logs={tmp_path}") == 2
    assert said in " ".join(capfd.readouterr().err.split())


def test_a_checkpoint_is_read_as_before(monkeypatch):
    monkeypatch.setattr(
        "segsuite.engine.launch.rebuild.config_from_checkpoint", lambda given: ["read"]
    )
    assert config_to_predict(["ckpt_path=a.ckpt", "inference=slide"]) == ["read"]
    assert config_to_predict(["ckpt_path=A.ONNX"]) == ["ckpt_path=A.ONNX"]
