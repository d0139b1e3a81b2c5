"""What fits, in which order, and what is said where nothing does."""

import shlex
from dataclasses import replace

import pytest
from rich.console import Console

from segsuite.choosing.budget import Budget, budget
from segsuite.choosing.choice import PLOT, TABLE, Choice
from segsuite.choosing.costs import Cost
from segsuite.choosing.known import Known
from segsuite.core.errors import ConfigError


def cost(ms: float, gmacs: float = 1.0, size=(64, 96), high: float | None = None) -> Cost:
    values = {"ms": ms, "mb": 10.0, "gmacs": gmacs, "params": 2.0}
    return Cost(size, values, 0.9 * ms, high or 1.1 * ms, "digest")


COSTS = {
    "unknown_cheap": cost(1.0, gmacs=0.1),
    "elsewhere": cost(2.0),
    "printed": cost(3.0, size=(64, 128)),
    "trained": cost(4.0),
    "narrow": cost(4.95, high=5.2),
    "unknown_dear": cost(2.0, gmacs=0.5),
    "slow": cost(9.0),
    "slower": cost(50.0),
}
KNOWN = {
    "elsewhere": Known(0.8, "cityscapes", "paper", 2, 0.9),
    "printed": Known(0.5, "camvid", "paper", 1),
    "trained": Known(0.3, "camvid", "logs/train/some", 0),
    "narrow": Known(0.2, "camvid", "logs/train/other", 0),
    "slow": Known(0.9, "camvid", "paper", 1),
}


def choice(made: Budget, costs=COSTS, known=KNOWN) -> Choice:
    failed = {"broken": "some reason"}
    return Choice(made, (64, 96), "camvid", costs, failed, known, ["data=camvid", "data.root=X"])


def test_what_fits_is_ranked_by_how_sure_its_accuracy_is():
    own = choice(Budget(ms=5.0))
    assert own.fitting == [
        *("trained", "narrow", "printed", "elsewhere", "unknown_dear", "unknown_cheap"),
    ]
    assert own.excluded == ["slow", "slower"]
    assert own.narrow("narrow") and not own.narrow("trained")


def test_figures_of_several_other_data_count_by_the_best_of_each():
    known = {
        "elsewhere": Known(0.7, "cityscapes", "paper", 2, 0.8),
        "printed": Known(0.4, "ade20k", "paper", 2, 0.9),
    }
    assert choice(Budget(ms=3.5), known=known).fitting[:2] == ["printed", "elsewhere"]


def test_each_limit_counts_and_its_excess_is_named():
    limits = Budget(ms=5.0, mb=9.0, gmacs=0.2, params=2.0)
    assert limits.exceeded(COSTS["slow"].values) == ["9 ms", "10 MB", "1 GMACs"]
    assert choice(limits).fitting == []
    assert choice(Budget(gmacs=0.2)).fitting == ["unknown_cheap"]
    assert choice(Budget(params=2.0)).excluded == []


def test_commands_are_of_the_data_that_were_asked_about_by_the_recipes_own_crops():
    own = choice(Budget(ms=5.0))
    assert own.command("printed") == (
        "python -m segsuite.train experiment=printed data=camvid data.root=X"
    )
    assert own.to_dict()["train"] == [own.command(n) for n in ("trained", "narrow", "printed")]


def test_commands_can_be_pasted_into_a_shell():
    typed = ["data=scenes", "data.reader.lengths={train: 8, val: 2}"]
    command = replace(choice(Budget(ms=5.0)), typed=typed).command("trained")
    assert shlex.split(command)[4:6] == typed


def test_a_budget_that_nothing_meets_names_the_nearest():
    assert choice(Budget(ms=0.5)).advice == (
        "no network keeps to 0.5 ms; nearest is unknown_cheap, with 1 ms"
    )


def test_how_far_measurements_alone_are_apart_is_said():
    own = replace(choice(Budget(ms=5.0)), again={"trained": 1.1, "slow": 0.95})
    assert own.agreement.startswith("measured again alone: 0.95 to 1.10 times as long;")


def test_figures_of_other_data_are_called_so():
    rough = "of these no accuracy on camvid is known, so that this order is a rough one"
    assert rough not in choice(Budget(ms=5.0)).advice
    assert rough in choice(Budget(ms=2.5)).advice


def test_what_is_shown(tmp_path):
    console = Console(width=160, record=True)
    choice(Budget(ms=5.0)).show(console, tmp_path)
    text = console.export_text()
    for part in ("fits, narrowly", "no: 50 ms", "broken was not measured: some reason", "64x128"):
        assert part in text
    assert "run by torch" in text
    assert (tmp_path / PLOT).read_bytes()[:4] == b"\x89PNG"
    head, _, first, *others = (tmp_path / TABLE).read_text().splitlines()
    assert head == "| network | ms | MB | GMACs | M parameters | mIoU that is known |"
    assert first.startswith("| `unknown_cheap` | 1 | 10 |") and len(others) == 7
    assert others[-1].startswith("| `slower` | 50 |")


def test_records_say_what_was_measured_and_between_which_bounds():
    (first, *_) = choice(Budget(ms=5.0)).records()
    circumstances = {"size": [64, 96], "runtime": "torch", "budget": "5 ms"}
    assert first.settings == {**circumstances, "fits": True, "known": ""}
    metric = first.metrics["ms"]
    assert (metric.value, metric.low, metric.high) == (1.0, 0.9, 1.1)


def test_without_a_budget_there_is_nothing_to_choose_by():
    with pytest.raises(ConfigError, match=r"type one or several of budget\.ms=20"):
        budget()
