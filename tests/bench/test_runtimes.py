"""Runtimes side by side: in turns, on the same pictures, with agreement and variance."""

import pytest
import torch

from segsuite.bench.runtimes import _RUNTIMES, _check, timed_side_by_side
from segsuite.core.errors import ConfigError
from tests.exporting.made import SIZE, pictures, small


def test_runs_take_turns_and_are_compared_with_the_first():
    calls = []

    def labelling(name, shift):
        def run(picture):
            calls.append((name, int(picture.sum())))
            labels = torch.zeros(1, *SIZE, dtype=torch.int64)
            labels[:, : SIZE[0] // 3 * shift] = 1
            return labels

        return run

    rows = timed_side_by_side(
        {"first": labelling("first", 0), "second": labelling("second", 1)},
        pictures(2),
        size=SIZE,
        frames=7,
        warm_up=1,
    )
    assert [name for name, _ in calls] == ["first", "second"] * (2 + 1 + 7)
    assert all(a[1] == b[1] for a, b in zip(calls[::2], calls[1::2], strict=True))
    first, second = (row.to_dict() for row in rows)
    assert first["agreement"] == 1 and second["agreement"] == pytest.approx(2 / 3)
    assert first["times_as_fast"] == {"median": 1, "low": 1, "high": 1}
    assert first["rounds"] == 7 and second["variance_ms2"] >= 0


@pytest.mark.parametrize("name", ["eager", "channels_last", "deployed"])
def test_torchs_own_ways_give_the_same_labels(name):
    network, images = small(), pictures(2, seed=4)
    run = _RUNTIMES[name](network, SIZE, images, 1)
    with torch.inference_mode():
        for picture in images.split(1):
            same = run(picture) == network.predict(picture).labels(SIZE)
            assert same.double().mean() > 0.999


def test_files_give_the_same_labels():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    network, images = small(), pictures(1, seed=4)
    run = _RUNTIMES["onnx"](network, SIZE, images, 1)
    with torch.inference_mode():
        assert (run(images) == network.predict(images).labels(SIZE)).double().mean() > 0.999


def test_a_runtime_that_there_is_not():
    with pytest.raises(ConfigError, match=r"onxx is not one of .*did you mean `onnx`"):
        _check(["onxx"])
    with pytest.raises(ConfigError, match="measures nothing"):
        _check([])
