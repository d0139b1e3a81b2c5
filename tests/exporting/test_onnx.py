"""ONNX files answer as the network does, on images that no export has seen."""

import pytest
import torch

from segsuite.exporting.errors import ExportError
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph
from segsuite.exporting.onnx_file import OnnxRunner, _check_opset, to_onnx
from segsuite.exporting.parity import Limits, compared, labelled
from tests.exporting.made import SIZE, Unknown, images, small

onnx = pytest.importorskip("onnx")
numpy_helper = pytest.importorskip("onnx.numpy_helper")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """A graph of labels, the file that was made of it, and its path."""
    graph = Graph(network, size=SIZE, output="labels")
    (float_,) = formats(["onnx"])
    path = tmp_path_factory.mktemp("exported") / "a.onnx"
    return graph, float_.made(graph, path, None, opset=18, threads=1), path


def test_labels_and_the_scores_behind_them_agree(network, exported):
    graph, made, path = exported
    found = compared(made.run, network, graph, images(3, seed=5), scores_behind=made.scores)
    assert found.difference < 1e-5 * found.scale
    assert found.agreement >= 0.9999
    found.check(Limits(), name="x.onnx")
    model = onnx.load(path)
    assert [value.name for value in model.graph.output] == ["labels"]
    assert {i.domain: i.version for i in model.opset_import}[""] == 18
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds and kinds.count("Conv") == 4
    (labels,) = OnnxRunner(path)(images(1))
    with torch.no_grad():
        assert torch.equal(labels, network.predict(images(1)).labels(SIZE))


@pytest.mark.parametrize("output", ["grid", "scores"])
def test_scores_agree_without_argmax(network, output, tmp_path):
    graph = Graph(network, size=SIZE, output=output)
    (float_,) = formats(["onnx"])
    made = float_.made(graph, tmp_path / "a.onnx", None, opset=18, threads=1)
    found = compared(made.run, network, graph, images(2, seed=5))
    assert found.difference < 1e-5 * found.scale and found.agreement >= 0.9999
    shape = tuple(made.run(images(1))[0].shape[-2:])
    assert shape == (SIZE if output == "scores" else (9, 12))


def test_a_file_that_answers_otherwise_is_refused(network, exported):
    graph, made, _ = exported
    shifted = {"scores_behind": lambda image: made.scores(image) + 0.01}
    found = compared(made.run, network, graph, images(1), **shifted)
    with pytest.raises(ExportError, match=r"x.onnx differs from the network: scores differ by .*"):
        found.check(Limits(), name="x.onnx")
    wrong = compared(lambda image: [made.run(image)[0] + 1], network, graph, images(1))
    with pytest.raises(ExportError, match=r"agree on 0\.0000 %"):
        wrong.check(Limits(), name="x.onnx")


def quantised_weights(model):
    """The initializers of convolutions in 8 bits."""
    tensors = model.graph.initializer
    return [t for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1]


def test_int8_is_smaller_and_nearly_the_same(network, exported, tmp_path):
    graph = exported[0]
    (int8,) = formats(["onnx_int8"])
    quantised = int8.made(graph, tmp_path / "q.onnx", images(16), opset=18, threads=1)
    model = onnx.load(tmp_path / "q.onnx")
    weights = {t.name: t.data_type for t in model.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in weights.values()) >= 3
    # Products of larger ones saturate on processors without VNNI.
    assert max(abs(numpy_helper.to_array(t)).max() for t in quantised_weights(model)) <= 64
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    assert weights[last.input[1]] == onnx.TensorProto.FLOAT  # the classifier
    given = images(3, seed=5)
    found = compared(quantised.run, network, graph, given, scores_behind=quantised.scores)
    assert 1e-6 < found.difference < 0.05 * found.scale
    assert found.agreement > 0.95
    labels = labelled(quantised.run, graph)(images(1), (66, 96))
    assert labels.shape == (1, 66, 96)


def test_an_operator_that_onnx_does_not_know():
    graph = Graph(small(Unknown), size=SIZE, output="grid")
    with pytest.raises(ExportError, match=r"ONNX knows no operator for .*airy"):
        to_onnx(graph)


def test_an_opset_that_was_not_written_is_told(exported):
    model = onnx.load(exported[2])
    _check_opset(model, 18)
    with pytest.raises(ExportError, match=r"opset=13: .* comes out in opset 18.*type opset=18"):
        _check_opset(model, 13)


def test_an_operator_that_the_runtime_does_not_know(exported):
    model = onnx.load(exported[2])
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot load the model.*Nonsense"):
        OnnxRunner(model.SerializeToString())
