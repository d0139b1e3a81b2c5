"""LiteRT files, in an environment of their own: the same scores, float and int8."""

import pytest

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")
pytest.importorskip("ai_edge_litert")

from segsuite.exporting.errors import ExportError
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph
from segsuite.exporting.litert_file import LitertRunner
from segsuite.exporting.parity import compared
from tests.exporting.made import SIZE, Unknown, images, small


@pytest.mark.parametrize("output", ["grid", "scores", "labels"])
@pytest.mark.parametrize("name", ["litert", "litert_int8"])
def test_the_same_scores_and_labels(name, output, tmp_path):
    network = small()
    graph = Graph(network, size=SIZE, output=output)
    (wanted,) = formats([name])
    wanted.check()
    made = wanted.made(graph, tmp_path / "a.tflite", images(16), opset=18, threads=1)
    found = compared(made.run, network, graph, images(2, seed=5))
    if output == "labels":
        assert found.difference is None
    else:
        assert 0 < found.difference < (0.1 if wanted.int8 else 1e-5) * found.scale
    assert found.agreement >= (0.85 if wanted.int8 else 0.9999)


def test_an_operator_that_litert_does_not_know(tmp_path):
    graph = Graph(small(Unknown), size=SIZE, output="grid")
    (wanted,) = formats(["litert"])
    with pytest.raises(ExportError, match=r"LiteRT cannot take this network: .*airy"):
        wanted.made(graph, tmp_path / "a.tflite", None, opset=18, threads=1)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"nothing")
    with pytest.raises(ExportError, match=r"LiteRT cannot load .*a\.tflite"):
        LitertRunner(tmp_path / "a.tflite")
