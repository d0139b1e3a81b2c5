"""Runtimes side by side: in turns, on the same images, with agreement and variance."""

import gc
import io
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from segsuite.core.errors import ConfigError
from segsuite.exporting.errors import ExportError
from segsuite.exporting.labelling import RUNTIMES, check_names, prepared
from segsuite.exporting.runtimes import Runtimes, timed_side_by_side
from tests.exporting.made import SIZE, Unknown, images, small


def test_runs_take_turns_and_are_compared_with_the_first():
    calls = []

    def labelling(name, shift):
        def run(image):
            calls.append((name, int(image.sum())))
            labels = torch.zeros(1, *SIZE, dtype=torch.int64)
            labels[:, : SIZE[0] // 3 * shift] = 1
            return labels

        return run

    rows = timed_side_by_side(
        {"first": labelling("first", 0), "second": labelling("second", 1)},
        images(2),
        size=SIZE,
        frames=7,
        warm_up=1,
    )
    assert [name for name, _ in calls] == ["first", "second"] * (2 + 1 + 7)
    assert all(a[1] == b[1] for a, b in zip(calls[::2], calls[1::2], strict=True))
    first, second = (row.to_dict() for row in rows)
    assert first["agreement"] == 1 and second["agreement"] == pytest.approx(2 / 3)
    assert first["times_as_fast"] == {"median": 1, "low": 1, "high": 1, "conclusive": True}
    assert first["rounds"] == 7 and second["variance_ms2"] >= 0


@pytest.mark.parametrize("name", ["eager", "channels_last", "deployed"])
def test_torchs_own_ways_give_the_same_labels(name):
    network, given = small(), images(2, seed=4)
    run = RUNTIMES[name](network, SIZE, given, 1)
    with torch.inference_mode():
        for image in given.split(1):
            same = run(image) == network.predict(image).labels(SIZE)
            assert same.double().mean() > 0.999


def test_files_give_the_same_labels():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    network, given = small(), images(1, seed=4)
    run = RUNTIMES["onnx"](network, SIZE, given, 1)
    with torch.inference_mode():
        assert (run(given) == network.predict(given).labels(SIZE)).double().mean() > 0.999


def test_a_runtime_that_there_is_not():
    with pytest.raises(ConfigError, match=r"onxx is not one of .*did you mean `onnx`"):
        check_names(["onxx"])
    with pytest.raises(ConfigError, match="measures nothing"):
        check_names([])


def test_a_runtime_that_is_not_possible_stops_no_other(monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch", None)
    said = []
    runs, refused = prepared(
        ["executorch", "eager"], small(), SIZE, images(2, seed=4), 1, tell=said.append
    )
    assert list(runs) == ["eager"]
    (its,) = refused
    assert its.runtime == "executorch" and "pip install -e '.[executorch]'" in its.reason
    assert any("executorch is not possible" in text for text in said)
    with pytest.raises(ExportError, match=r"none of the runtimes .* executorch is not installed"):
        prepared(["executorch"], small(), SIZE, images(1), 1, tell=said.append)


def test_a_network_that_a_runtime_cannot_take_stops_no_other():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    made = (small(Unknown), SIZE, images(2, seed=4), 1)
    runs, refused = prepared(["eager", "onnx"], *made, tell=lambda text: None)
    assert list(runs) == ["eager"] and "ONNX knows no operator for" in refused[0].reason
    facts = {"cores": 2, "processor": "x", "threads": 1, "torch": "2"}
    table = Runtimes("net", True, [], refused, facts, (0, 0))
    assert table.to_dict()["not_possible"][0]["runtime"] == "onnx"
    console = Console(file=io.StringIO(), width=200)
    table.show(console, Path("here"))
    assert "onnx at 48x33 is not possible: ONNX knows no" in console.file.getvalue()


def test_nothing_is_collected_while_the_clock_runs():
    """A collection after an exporter takes up to a second, and would fall on any frame."""
    seen = []

    def run(image):
        seen.append(gc.isenabled())
        return torch.zeros(1, *SIZE, dtype=torch.int64)

    timed_side_by_side({"a": run}, images(1), size=SIZE, frames=3, warm_up=1)
    assert seen == [True] + [False] * 4 and gc.isenabled()
