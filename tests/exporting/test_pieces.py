"""What exports are made of, without any runtime."""

import sys
from dataclasses import replace

import pytest
import torch

from segsuite.core.errors import ConfigError, DataError, MissingExtra
from segsuite.engine.accuracy import Accuracy, accuracy, evaluator_of
from segsuite.exporting.errors import needed
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph, WithScores
from segsuite.exporting.images import calibration_images, other_images
from segsuite.nn.predictions import GridPrediction, StridedPrediction
from segsuite.ops.row_argmax import argmax_of_rows, resized_rows
from tests.exporting.made import CLASSES, SIZE, Data, images, small
from tests.toy import ToySegmenter, toy_classes


@pytest.mark.parametrize("size", [(33, 48), (40, 50), (20, 31)])
@pytest.mark.parametrize("seen", [(33, 48), (33, 49), (36, 45)])
def test_the_matrices_resize_as_the_predictions_do(seen, size):
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 6, 9, 12, dtype=torch.float64, generator=random)
    for found in (
        StridedPrediction(scores, seen=seen, stride=4),
        GridPrediction(scores),
    ):
        rows, columns = (matrix.double() for matrix in found.resizing(size))
        expected = found.scores(size)
        ours = resized_rows(scores, rows, columns).transpose(1, 2)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)  # matrices are in float32
        same = argmax_of_rows(scores, rows, columns) == expected.argmax(dim=1)
        assert same.double().mean() > 0.999


def test_a_graph_answers_as_its_network_and_leaves_it_alone():
    network = small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    given = images(1, seed=3)
    with torch.no_grad():
        expected = network.predict(given)
        for output, wanted in (
            ("grid", expected.grid_scores),
            ("scores", expected.scores(SIZE)),
        ):
            found = Graph(network, size=SIZE, output=output)(given)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        graph = Graph(network, size=SIZE, output="labels")
        labels, scores = WithScores(graph)(given)
        assert torch.equal(labels, expected.labels(SIZE)) and torch.equal(labels, graph(given))
        torch.testing.assert_close(scores, expected.grid_scores, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_a_graph_takes_only_sizes_that_its_network_takes():
    network = ToySegmenter(num_classes=3).eval()
    with pytest.raises(ConfigError, match=r"multiples of 8.*size="):
        Graph(network, size=(30, 32), output="labels")


def test_too_few_images_to_calibrate_with():
    few = Data(train=5, val=2)
    with pytest.raises(DataError, match=r"5 images are too few.*calibration.least=5"):
        calibration_images(few, count=64, least=16, size=SIZE)
    with pytest.raises(DataError, match=r"calibration.images=3 are too few"):
        calibration_images(Data(train=40, val=2), count=3, least=16, size=SIZE)
    assert calibration_images(few, count=64, least=5, size=SIZE).shape == (5, 3, *SIZE)


def test_images_that_are_all_alike_calibrate_nothing(monkeypatch):
    alike = Data(train=20, val=2)
    first = alike.samples("train")[0]
    monkeypatch.setattr(alike, "samples", lambda split: [first] * 20)
    with pytest.raises(DataError, match=r"of the 20 training images .* only 1 differ"):
        calibration_images(alike, count=64, least=16, size=SIZE)


def test_the_images_compared_on_are_not_those_of_the_calibration():
    data = Data(train=16, val=4)
    others = other_images(data, count=4, size=SIZE)
    calibrated = calibration_images(data, count=16, least=4, size=SIZE)
    assert not any((one == other).all() for one in others for other in calibrated)
    assert other_images(data, count=2, size=(10, 12)).shape == (2, 3, 10, 12)


def test_formats_by_name():
    assert [f.int8 for f in formats(["onnx_int8", "onnx", "onnx"])] == [True, False]
    with pytest.raises(ConfigError, match=r"onxx is not one of .*did you mean `onnx`"):
        formats(["onxx"])
    with pytest.raises(ConfigError, match=r"formats=\[\]"):
        formats([])


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (wanted,) = formats(["onnx"])
    monkeypatch.setitem(sys.modules, "onnx", sys)
    monkeypatch.setitem(sys.modules, "onnxscript", sys)
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[export\]'"):
        wanted.check()
    with pytest.raises(
        MissingExtra, match=r"nothing_at_all is not.*environment of its own.*litert"
    ):
        needed("nothing_at_all", "litert")
    with pytest.raises(MissingExtra, match=r"nothing_at_all is not.*'\.\[executorch\]'"):
        needed("nothing_at_all.inner", "executorch")


def test_miou_of_any_labelling():
    data = Data(train=1, val=3)
    label = data.samples("val")[0].label
    kind = {"size": SIZE, "evaluator": evaluator_of(None, toy_classes(CLASSES), None)}
    assert accuracy(lambda p, size: label[None], data, **kind) == Accuracy(1.0, 3, 3)
    assert accuracy(lambda p, size: (label[None] + 1) % CLASSES, data, **kind).value == 0.0
    assert accuracy(lambda p, size: label[None], data, images=2, **kind) == Accuracy(1.0, 2, 3)


def test_where_no_pixel_has_a_class_there_is_no_miou(monkeypatch):
    data = Data(train=1, val=2)
    nothing = torch.full(SIZE, -1)
    found = [replace(its, label=nothing) for its in data.samples("val")]
    monkeypatch.setattr(data, "samples", lambda split: found)
    kind = {"size": SIZE, "evaluator": evaluator_of(None, toy_classes(CLASSES), None)}
    scored = accuracy(lambda p, size: nothing[None] + 1, data, **kind)
    assert scored == Accuracy(None, 2, 2)
