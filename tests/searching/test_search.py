"""A search: its budget, its limits, and going on from the archive at any moment."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segsuite.core.errors import ConfigError
from segsuite.searching.archive import Archive
from segsuite.searching.search import Search, write_genotypes
from segsuite.searching.strategies import Nsga2, RandomSearch, RegularisedEvolution
from tests.searching.made import Word, Words

pytest.importorskip("pymoo")
STRATEGIES = (
    RandomSearch(batch=10),
    Nsga2(population=10),
    RegularisedEvolution(population=10, batch=5),
)


class Plain(Word):
    """With a plain form, as architectures have one."""

    def to_dict(self) -> dict[str, Any]:
        return {"branches": list(self.letters)}


class Killed(Exception):
    """In place of a kill."""


class Measured:
    """Counts what is asked of it; stops after so many evaluations."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.words = Words()
        self.genes = self
        self.most, self.blocks = self.words.most, self.words.blocks
        self.random, self.repaired = self.words.random, self.words.repaired
        self.asked: list[Word] = []
        self.stop_after = stop_after

    def decoded(self, vector: np.ndarray) -> Plain:
        return Plain(self.words.decoded(vector).letters)

    def metrics(self, word: Word, names: list[str]) -> dict[str, float]:
        if "miou" in names:
            if len(self.asked) == self.stop_after:
                raise Killed
            self.asked.append(word)
        return {name: self.words.metrics(word)[name] for name in names}


def searched(folder: Path, measured: Measured, strategy=STRATEGIES[1], **changes):
    kind = {"objectives": ["miou", "gmacs"], "limits": {}, "evaluations": 60, "seed": 1}
    archive = Archive(folder / "archive.jsonl", {"of": "words"})
    return Search(strategy=strategy, **kind | changes)(measured, archive)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_as_many_evaluations_as_asked_for_and_none_twice(tmp_path, strategy):
    measured = Measured()
    found = searched(tmp_path, measured, strategy)
    assert len(found.entries) == len(measured.asked) == len(set(measured.asked)) == 60
    costs = [found.goals.costs(entry["metrics"]) for entry in found.best]
    assert costs == sorted(costs, key=tuple) and len(costs) > 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stopped_at_any_moment_it_goes_on_to_the_same(tmp_path, strategy):
    """Nothing that was evaluated is evaluated again."""
    whole = searched(tmp_path / "whole", Measured(), strategy)
    asked = []
    for stop_after in (1, 7, 13, 20):
        measured = Measured(stop_after=stop_after)
        with pytest.raises(Killed):
            searched(tmp_path / "parts", measured, strategy)
        asked += measured.asked
    last = Measured()
    parts = searched(tmp_path / "parts", last, strategy)
    asked += last.asked
    assert len(asked) == len(set(asked)) == 60
    assert [e["key"] for e in parts.entries] == [e["key"] for e in whole.entries]
    assert [e["key"] for e in parts.best] == [e["key"] for e in whole.best]


def test_more_evaluations_go_on_where_fewer_ended(tmp_path):
    few = searched(tmp_path, Measured(), evaluations=40)
    more = Measured()
    found = searched(tmp_path, more, evaluations=60)
    assert [e["key"] for e in found.entries[:40]] == [e["key"] for e in few.entries]
    assert len(more.asked) == 20


def test_what_exceeds_a_cheap_limit_is_not_evaluated(tmp_path):
    measured = Measured()
    found = searched(tmp_path, measured, limits={"gmacs": 7.5})
    assert found.refused > 0
    assert all(measured.words.metrics(word)["gmacs"] <= 7.5 for word in measured.asked)
    assert all(entry["metrics"]["gmacs"] <= 7.5 for entry in found.best)


def test_limits_that_nothing_keeps_are_said(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("architectures keeps {'gmacs': 0.01}; raise")):
        searched(tmp_path, Measured(), STRATEGIES[0], limits={"gmacs": 0.01})


def test_a_space_that_is_used_up_is_said(tmp_path):
    told = []
    measured = Measured()
    measured.most = np.array([1, 1, *[0] * 14])
    measured.random = lambda generator: generator.integers(0, measured.most + 1)
    archive = Archive(tmp_path / "archive.jsonl", {})
    search = Search(strategy=STRATEGIES[0], objectives=["miou"], limits={}, evaluations=60)
    found = search(measured, archive, tell=told.append)
    assert len(found.entries) == 4 and "ended after 4 of 60 evaluations" in told[-1]


def test_genotypes_are_files_to_be_trained(tmp_path):
    found = searched(tmp_path, Measured())
    paths = write_genotypes(found, tmp_path / "genotypes", "some.Genotype")
    assert len(paths) == len(found.best) and "_target_: some.Genotype" in paths[0].read_text()
    front = json.loads((tmp_path / "genotypes" / "front.json").read_text())
    assert [entry["key"] for entry in front] == [path.stem for path in paths]
