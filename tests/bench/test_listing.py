"""The figures in the listing of experiments are those that are counted."""

import pytest

from segsuite.bench.listing import listed
from segsuite.core.config import CONF
from segsuite.engine.launch.help import costs, help_text, options, paper_miou


@pytest.mark.parametrize("name", ["quickstart", "cts_dtop_vitt_fast", "mobile_dpc_coco9"])
def test_listed_costs_are_what_is_counted(name):
    assert costs()[name] == listed(name), f"type python scripts/count_experiments.py {name}"


def test_every_experiment_is_listed_with_its_costs_and_the_papers_figure():
    assert sorted(costs()) == options("experiment"), "type python scripts/count_experiments.py"
    lines = {line.split()[0]: line for line in help_text("train", "").splitlines() if line.strip()}
    for name, cost in costs().items():
        words = lines[name].split()
        assert words[1:3] == [f"{cost['parameters']:.2f}", f"{cost['gmacs']:.1f}"]
        assert words[3] == (paper_miou(CONF / "experiment" / f"{name}.yaml") or "–")
    assert lines["segvit_vitb"].split()[3] == "48.3" and lines["quickstart"].split()[3] == "–"
