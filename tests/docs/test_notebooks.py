"""Notebooks do what they say: their cells run, on small sizes, and what they show is stored.

To make what is stored anew, in an environment with jupyter, nbconvert and ipywidgets:

    cd notebooks && jupyter nbconvert --to notebook --execute --inplace \\
        --ExecutePreprocessor.record_timing=False *.ipynb
"""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest

NOTEBOOKS = {path.stem: path for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb")}
IMAGES = {"IMAGES": 16, "VALIDATED": 2}
SMALL: dict[str, dict[str, Any]] = {
    "tour": {"STEPS": 2, "SIZE": [32, 64], **IMAGES, "VALIDATED": 8, "ROUNDS": 2},
    "tokens": {"SIZE": [64, 128], "SAVED": [0, 0.6], "KEPT": [1.0, 0.25]},
    "pareto": {
        "EXPERIMENTS": ["mobile_basic_cityscapes_fine", "hyctas_s_cityscapes"],
        "MEASURED_AT": [32, 64],
        "ROUNDS": 2,
        "TRAINED": {"a": ["experiment=mobile_basic_camvid"], "b": ["experiment=hyctas_s_camvid"]},
        "STEPS": 1,
        "SIZE": [32, 64],
        **IMAGES,
    },
    "thousand_classes": {
        "CLASSES": [600],
        "ARMS": ["embeddings, exact", "plain head, dense"],
        "MEASURED_AT": [16, 16],
        "TRAINED": 300,
        "STEPS": 1,
        "SIZE": [32, 64],
        **IMAGES,
    },
    "export_quantise": {
        "FORMATS": ["onnx_int8"],  # tests/exporting has others
        "STEPS": 1,
        "SIZE": [32, 64],
        **IMAGES,
        "CALIBRATED": 16,
        "ROUNDS": 2,
    },
}
"""What stands in the place of a notebook's parameters."""
PLACES = re.compile(r"(?<![\w.])/(home|root|work|tmp|opt|Users|mnt|usr)/|[A-Z]:\\\\")
"""Paths of the machine that a notebook was executed on."""


def cells(name: str) -> list[dict[str, Any]]:
    content = json.loads(NOTEBOOKS[name].read_text())["cells"]
    return [cell for cell in content if cell["cell_type"] == "code"]


def executed(name: str) -> dict[str, Any]:
    """What the names of a notebook stand for at its end; the folder that it is in is its own."""
    matplotlib.use("Agg")
    found: dict[str, Any] = {}
    for number, cell in enumerate(cells(name)):
        exec(compile("".join(cell["source"]), f"{name} cell {number}", "exec"), found)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert SMALL[name].keys() <= found.keys(), "a parameter has another name"
            found |= SMALL[name]
    found["plt"].close("all")
    return found


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Runs go to a folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGSUITE_LOGS", raising=False)


def test_each_notebook_is_executed_below():
    assert NOTEBOOKS.keys() == SMALL.keys()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_stored_without_errors_or_places_of_a_machine(name):
    content = NOTEBOOKS[name].read_text()
    assert len(content) < 300_000, "smaller pictures, or fewer"
    assert 6 <= len(json.loads(content)["cells"]) <= 20
    assert [cell["metadata"].get("tags") for cell in cells(name)].index(["parameters"]) == 0
    assert [cell["execution_count"] for cell in cells(name)] == [*range(1, len(cells(name)) + 1)]
    outputs = [output for cell in cells(name) for output in cell["outputs"]]
    assert not any(output["output_type"] == "error" for output in outputs)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    for output in outputs:
        told = [*output.get("text", ()), *output.get("data", {}).get("text/plain", ())]
        assert not PLACES.search("".join(told)) and "Warning" not in "".join(told)
    if " ms" in str(outputs):
        assert re.search(r"on: \w.*\d threads?\b", str(outputs)), "what it was measured on"


def test_the_tour_trains_a_network_and_finds_it_again(elsewhere):
    found = executed("tour")
    assert found["result"].own["steps"] == 2 and len(found["losses"]) == 2
    assert found["labels"].shape == (32, 64)
    assert len(found["api"].records("logs")) == 3, "the training, and two networks of a comparison"
    assert found["cfg"].trainer.max_steps == 2 and len(found["found"].own["verdicts"]) == 2


def test_tokens_are_fewer_and_cost_less(elsewhere):
    found = executed("tokens")
    trace = found["prediction"].trace
    tokens, left = trace.counts()[0].tolist()
    assert trace.owner.shape[1] > tokens > left > 0
    for costs in (found["by_windows"], found["by_budget"]):
        assert costs == sorted(costs, reverse=True) and costs[-1] < 0.8 * costs[0]
    assert found["by_budget"][0] >= found["dense"] > found["both"]
    assert len(found["figure"].axes) == 2


def test_fronts_are_of_networks_that_none_beats(elsewhere):
    found = executed("pareto")
    assert {"mobile_basic_cityscapes_fine", "hyctas_s_cityscapes"} == {*found["costs"]}
    assert "hyctas_s" in found["by_time"], "the most accurate is on any front"
    best = max(found["results"], key=lambda name: found["results"][name]["test/miou"])
    cheapest = min(found["results"], key=lambda name: found["results"][name]["gmacs"])
    assert {best, cheapest} <= {*found["of_scenes"]} and set(found["results"]) == {"a", "b"}


def test_a_thousand_classes_need_no_more_memory_by_the_exact_loss(elsewhere):
    found = executed("thousand_classes")
    peaks = {name: gigabytes for name, (gigabytes,) in found["peaks"].items()}
    assert peaks["embeddings, exact"] < 0.5 * peaks["plain head, dense"]
    assert found["table"].shape == (300, 7) and found["points"].shape == (300, 2)
    assert found["model"].network.num_classes == len(found["data"].classes) == 300


def test_exported_files_answer_as_the_network_and_are_smaller_in_int8(elsewhere):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    found = executed("export_quantise")
    file, model = found["files"]["onnx_int8"], found["models"]["onnx_int8"]
    assert file["megabytes"] < 0.5 * found["result"].metrics["parameters"] * 4 / 1e6
    assert (found["labels"]["onnx_int8"] == found["labels"]["torch"]).mean() > 0.5
    assert model.classes.names == found["data"].classes.names
    assert found["rows"]["onnx_int8"]["labels_ms"] > 0 and {*found["rows"]} == {*found["models"]}
