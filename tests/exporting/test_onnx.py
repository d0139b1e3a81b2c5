"""ONNX files answer as the network does, on pictures that no export has seen."""

import pytest
import torch

from segsuite.exporting.errors import ExportError
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph
from segsuite.exporting.onnx_file import OnnxRunner, to_onnx
from segsuite.exporting.parity import compared, labelled
from tests.exporting.made import SIZE, Unknown, pictures, settings, small

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture(scope="module")
def exported(network):
    """A labels graph with its witness, and what was made of it."""
    graph = Graph(network, size=SIZE, output="labels", witness=True)
    (float_,) = formats(["onnx"])
    return graph, float_.made(graph, None, opset=18, threads=1)


def test_labels_and_the_scores_behind_them_agree(network, exported, tmp_path):
    graph, made = exported
    found = compared(made.run, network, graph, pictures(3, seed=5))
    assert found.difference < 1e-5 * found.scale
    assert found.agreement >= 0.9999
    found.check(**settings())
    made.write(tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    assert [value.name for value in model.graph.output] == ["labels"]
    assert {i.domain: i.version for i in model.opset_import}[""] == 18
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds and kinds.count("Conv") == 4
    (labels,) = OnnxRunner(tmp_path / "a.onnx")(pictures(1))
    with torch.no_grad():
        assert torch.equal(labels, network.predict(pictures(1)).labels(SIZE))


@pytest.mark.parametrize("output", ["grid", "scores"])
def test_scores_agree_without_argmax(network, output):
    graph = Graph(network, size=SIZE, output=output)
    (float_,) = formats(["onnx"])
    made = float_.made(graph, None, opset=18, threads=1)
    found = compared(made.run, network, graph, pictures(2, seed=5))
    assert found.difference < 1e-5 * found.scale and found.agreement >= 0.9999
    shape = tuple(made.run(pictures(1))[0].shape[-2:])
    assert shape == (SIZE if output == "scores" else (9, 12))


def test_a_file_that_answers_otherwise_is_refused(network, exported):
    graph, made = exported

    def shifted(picture):
        labels, scores = made.run(picture)
        return [labels, scores + 0.01]

    found = compared(shifted, network, graph, pictures(1))
    with pytest.raises(ExportError, match="answers otherwise"):
        found.check(**settings())
    wrong = compared(lambda p: [made.run(p)[0] + 1, made.run(p)[1]], network, graph, pictures(1))
    with pytest.raises(ExportError, match=r"agree on 0\.0000 %"):
        wrong.check(**settings())


def test_int8_is_smaller_and_nearly_the_same(network, exported, tmp_path):
    graph, _ = exported
    (int8,) = formats(["onnx_int8"])
    quantised = int8.made(graph, pictures(16), opset=18, threads=1)
    quantised.write(tmp_path / "q.onnx")
    model = onnx.load(tmp_path / "q.onnx")
    weights = {t.name: t.data_type for t in model.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in weights.values()) >= 3
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    assert weights[last.input[1]] == onnx.TensorProto.FLOAT  # the classifier
    found = compared(quantised.run, network, graph, pictures(3, seed=5))
    assert 1e-6 < found.difference < 0.1 * found.scale
    assert found.agreement > 0.9
    labels = labelled(quantised.run, graph)(pictures(1), (66, 96))
    assert labels.shape == (1, 66, 96)


def test_an_operator_that_onnx_does_not_know():
    graph = Graph(small(Unknown), size=SIZE, output="grid")
    with pytest.raises(ExportError, match=r"ONNX knows no operator for .*airy"):
        to_onnx(graph)


def test_an_operator_that_the_runtime_does_not_know(exported, tmp_path):
    _, made = exported
    made.write(tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot load the model.*Nonsense"):
        OnnxRunner(model.SerializeToString())
