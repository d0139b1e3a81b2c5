"""How a search gets on: what its table and its sentence say."""

import csv

import pytest

from segsuite.searching.objectives import Goals
from segsuite.searching.progress import PLOT, TABLE, Progress, _draw_others, volumes
from segsuite.searching.result import SearchResult

pytest.importorskip("pymoo")
GOALS = Goals(("miou", "gmacs"), {"parameters": 10})
REFERENCE = {"miou": 0.0, "gmacs": 4.0}


def entry(key: str, miou: float, gmacs: float, branches: int = 1, parameters: float = 1):
    metrics = {"miou": miou, "gmacs": gmacs, "parameters": parameters}
    return {"key": key, "metrics": metrics, "architecture": {"branches": [0] * branches}}


ENTRIES = [
    entry("a", 0.5, 2.0, 1),
    entry("b", 0.9, 0.1, 2, parameters=11),  # exceeds a limit
    entry("c", 0.25, 1.0, 3),
    entry("d", 0.4, 3.0, 1),  # beaten
    entry("e", 0.6, 1.0, 2),
]
RESULT = SearchResult(GOALS, ENTRIES, [ENTRIES[4]], 0)
BASELINES = {"some": {"gmacs": 2.5}, "printed": {"gmacs": 3.5, "miou": 0.55, "parameters": 9.0}}


def test_hypervolume_is_a_share_of_what_there_could_be():
    """Half of the accuracy for half of the cost is a quarter; a limit counts."""
    assert volumes(RESULT, REFERENCE) == pytest.approx([0.25, 0.25, 0.3125, 0.3125, 0.45])


def test_what_is_written_while_it_goes_on(tmp_path):
    told = Progress(tmp_path, REFERENCE, lambda: BASELINES)(RESULT)
    assert told == (
        "hypervolume 0.4500 after 5 evaluations; best miou by the number of branches: "
        "1 0.5, 2 0.6, 3 0.25"
    )
    with open(tmp_path / TABLE) as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == list("abcde")
    assert float(rows[-1]["hypervolume"]) == pytest.approx(0.45)
    assert (tmp_path / PLOT).read_bytes()[:4] == b"\x89PNG"


class Drawn:
    """What is drawn on axes, as far as other networks are concerned."""

    def __init__(self) -> None:
        self.points, self.lines = {}, []

    def scatter(self, x, y, *, label, **style):
        self.points[label] = sorted(zip(x, y, strict=True))

    def axvline(self, x, **style):
        self.lines.append(x)

    def annotate(self, name, place, **style):
        pass


@pytest.mark.parametrize("printed", [True, False])
def test_others_are_points_where_both_metrics_are_known_and_else_lines(printed):
    axes = Drawn()
    _draw_others(axes, BASELINES, "gmacs", "miou", printed=printed)
    (label,) = axes.points
    assert ("printed" in label) == printed
    assert axes.points[label] == [(3.5, 0.55)] and axes.lines == [2.5]


def test_others_are_asked_for_once_and_not_before_there_is_something_to_draw(tmp_path):
    asked = []
    progress = Progress(tmp_path, REFERENCE, lambda: asked.append(1) or BASELINES)
    assert asked == []
    progress(RESULT)
    progress(RESULT)
    assert asked == [1]


def test_small_middle_and_large():
    """By their rank in accuracy, however costs are spread."""
    best = [entry(*row) for row in (("a", 0.1, 1.0), ("b", 0.2, 1.9), ("c", 0.4, 3.0))]
    best += [entry("d", 0.5, 4.0, 1)]
    chosen = SearchResult(GOALS, best, best, 0).chosen()
    assert {name: e["key"] for name, e in chosen.items()} == {
        "small": "a",
        "middle": "b",
        "large": "d",
    }
    for count, names in (
        (1, ["large"]),
        (2, ["small", "large"]),
        (3, ["small", "middle", "large"]),
    ):
        few = SearchResult(GOALS, best[:count], best[:count], 0).chosen()
        assert [*few] == names and len({e["key"] for e in few.values()}) == count
    costs = SearchResult(Goals(("gmacs",), {}), best, best[:1], 0)
    assert costs.chosen() == {}


def test_what_could_not_be_evaluated_counts_for_nothing():
    failed = {"key": "f", "metrics": {"gmacs": 0.1}, "architecture": {"branches": [0]}}
    result = SearchResult(GOALS, [failed, *ENTRIES], [ENTRIES[4]], 0)
    grown = volumes(result, REFERENCE)
    assert grown[0] == 0 and grown[1:] == volumes(RESULT, REFERENCE)
