"""Notebooks run from top to bottom, and are kept without what they printed."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def executed(path: Path) -> dict[str, Any]:
    """What the names of a notebook stand for at its end."""
    matplotlib.use("Agg")
    found: dict[str, Any] = {}
    for number, cell in enumerate(code_cells(path)):
        exec(compile("".join(cell["source"]), f"{path.name} cell {number}", "exec"), found)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stripped(path):
    assert code_cells(path)
    for cell in code_cells(path):
        assert cell["outputs"] == [] and cell["execution_count"] is None


def test_the_tour_of_tokens_shows_what_it_says():
    found = executed(next(path for path in NOTEBOOKS if path.stem == "tokens"))
    trace = found["prediction"].trace
    tokens, left = trace.counts()[0].tolist()
    assert trace.owner.shape[1] > tokens > left > 0
    for costs in (found["by_windows"], found["by_budget"]):
        assert costs == sorted(costs, reverse=True) and costs[-1] < 0.8 * costs[0]
    assert found["by_budget"][0] >= found["dense"] > found["both"]
    assert len(found["figure"].axes) == 2
    found["plt"].close("all")
