"""A search: its budget, its limits, and going on from the archive at any moment."""

import json
import re
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.searching.archive import Archive
from segsuite.searching.latency.table import Estimate
from segsuite.searching.predictor import Predictor
from segsuite.searching.result import write_genotypes
from segsuite.searching.search import Search
from segsuite.searching.strategies import Nsga2, RandomSearch, RegularisedEvolution
from segsuite.searching.workers import Workers
from tests.searching.made import Word, Words

pytest.importorskip("pymoo")
STRATEGIES = (
    RandomSearch(batch=10),
    Nsga2(population=10),
    RegularisedEvolution(population=10, batch=5),
    Predictor(begin=20, best=6, uncertain=2, population=10, generations=8, patience=50),
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
        self.canonical, self.features = self.words.canonical, self.words.features
        self.asked: list[Word] = []
        self.device = torch.device("cpu")
        self.stop_after = stop_after

    def decoded(self, vector: np.ndarray) -> Plain:
        return Plain(self.words.decoded(vector).letters)

    def cheap(self, word: Word, names: list[str]) -> dict[str, float]:
        return {name: self.words.metrics(word)[name] for name in names}

    def evaluated(self, word: Word) -> dict[str, float]:
        if len(self.asked) == self.stop_after:
            raise Killed
        self.asked.append(word)
        return {"miou": self.words.metrics(word)["miou"]}


def searched(folder: Path, measured: Measured, strategy=STRATEGIES[1], **changes):
    kind = {"objectives": ["miou", "gmacs"], "limits": {}, "evaluations": 60, "seed": 1}
    with closing(Archive(folder / "archive.jsonl", {"of": "words"})) as archive:
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
    with pytest.raises(ConfigError, match=re.escape("no architecture keeps {'gmacs': 0.01} (1000")):
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
    names = [path.stem for path in paths]
    assert names == [*(e["key"] for e in found.best), *found.chosen()]
    assert "_target_: some.Genotype" in paths[0].read_text()
    front = json.loads((tmp_path / "genotypes" / "front.json").read_text())
    assert [entry["key"] for entry in front] == names[: len(found.best)]


class Stopwatch:
    """Expects half a unit too much of words that begin with 0, and knows its error."""

    def __init__(self) -> None:
        self.measured_words: list[Word] = []
        self.learnt: list[tuple[Word, float]] = []
        self.words = Words()

    def estimate(self, word: Word) -> Estimate:
        wrong = 0.5 if word.letters[0] == 0 else 0.0
        return Estimate(self.truth(word) + wrong, 0.6)

    def measured(self, word: Word) -> float:
        self.measured_words.append(word)
        return self.truth(word)

    def learn(self, word: Word, milliseconds: float) -> None:
        self.learnt.append((word, milliseconds))

    def truth(self, word: Word) -> float:
        return self.words.metrics(word)["gmacs"]


def timed_search(folder: Path, measured: Measured, watch: Stopwatch, **changes):
    kind = {"objectives": ["miou", "latency"], "limits": {}, "evaluations": 60, "seed": 1}
    search = Search(strategy=STRATEGIES[1], **kind | changes)
    with closing(Archive(folder / "archive.jsonl", {"of": "words"})) as archive:
        return search(measured, archive, latency=watch)


def test_only_what_may_be_of_the_front_is_measured_and_once(tmp_path):
    watch = Stopwatch()
    found = timed_search(tmp_path, Measured(), watch)
    words = [word.letters for word in watch.measured_words]
    assert 5 < len(words) < 50 and len(set(words)) == len(words)
    assert [word.letters for word, _ in watch.learnt] == words
    for entry in found.best:
        assert entry["measured"]
        word = Word(tuple(entry["architecture"]["branches"]))
        assert entry["metrics"]["latency"] == watch.truth(word)


def test_a_limit_is_measured_where_it_may_be_crossed(tmp_path):
    watch = Stopwatch()
    limits = {"latency": 7.0}
    found = timed_search(tmp_path, Measured(), watch, objectives=["miou"], limits=limits)
    assert found.refused > 0 and found.best
    for entry in found.entries:
        word = Word(tuple(entry["architecture"]["branches"]))
        near = abs(watch.estimate(word).value - 7.0) < 0.6
        assert entry.get("measured", False) == near  # it is no objective
        assert watch.estimate(word).value - 0.6 <= 7.0


def test_measured_latencies_are_found_again_by_a_search_that_was_killed(tmp_path):
    """Also by one that was killed between an evaluation and its measurement."""
    whole = timed_search(tmp_path / "whole", Measured(), Stopwatch())
    for stop_after in (7, 20):
        with pytest.raises(Killed):
            timed_search(tmp_path / "parts", Measured(stop_after=stop_after), Stopwatch())
    path = tmp_path / "parts" / "archive.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if '"latency"' in line)
    path.write_text("".join(lines[:last]))
    again = Stopwatch()
    parts = timed_search(tmp_path / "parts", Measured(), again)
    assert parts.entries == [
        {**entry, "seconds": other["seconds"]}
        for entry, other in zip(whole.entries, parts.entries, strict=True)
    ]
    assert len(again.learnt) > len(again.measured_words) > 0


def test_an_archive_keeps_no_prediction(tmp_path):
    """Another search may have learnt more, or less."""
    timed_search(tmp_path, Measured(), Stopwatch())
    lines = (tmp_path / "archive.jsonl").read_text().splitlines()[1:]
    seen: set[str] = set()
    for entry in map(json.loads, lines):
        assert ("latency" in entry["metrics"]) == (entry["key"] in seen)
        seen.add(entry["key"])


class Breaks(Measured):
    """Cannot evaluate words that end with 0."""

    def evaluated(self, word: Word) -> dict[str, float]:
        if word.letters[-1] == 0:
            raise RuntimeError("out of\nmemory")
        return super().evaluated(word)


def test_candidates_that_cannot_be_evaluated_lose_and_are_not_tried_again(tmp_path):
    found = searched(tmp_path, Breaks(), STRATEGIES[1])
    failed = [entry for entry in found.entries if "failed" in entry]
    assert 0 < len(failed) < 60 and failed[0]["failed"] == "out of memory"
    assert not any("failed" in entry for entry in found.best)
    again = Breaks()
    assert searched(tmp_path, again, STRATEGIES[1]).best == found.best and not again.asked


def test_where_nothing_can_be_evaluated_the_search_ends(tmp_path):
    measured = Measured()
    measured.evaluated = lambda word: torch.zeros(1, 2).view(3)
    with pytest.raises(ConfigError, match="none of 10 candidates could be evaluated"):
        searched(tmp_path, measured, STRATEGIES[0])


def test_what_needs_no_image_is_searched_without(tmp_path):
    measured = Measured()
    found = searched(tmp_path, measured, objectives=["gmacs"])
    assert len(found.best) == 1 and not measured.asked


def test_limits_that_nothing_keeps_are_said_by_every_strategy(tmp_path):
    for number, strategy in enumerate(STRATEGIES):
        with pytest.raises(ConfigError, match=r"no architecture keeps \{'gmacs': 0.001\}"):
            searched(tmp_path / str(number), Measured(), strategy, limits={"gmacs": 1e-3})


def test_workers_evaluate_the_same(tmp_path):
    """In two processes: what is found does not depend on it."""
    pytest.importorskip("joblib")
    one = searched(tmp_path / "one", Measured(), STRATEGIES[0], evaluations=20)
    two = searched(
        tmp_path / "two", Measured(), STRATEGIES[0], evaluations=20, workers=Workers(jobs=2)
    )
    assert [e["key"] for e in one.entries] == [e["key"] for e in two.entries]
    assert [e["metrics"] for e in one.entries] == [e["metrics"] for e in two.entries]


def test_workers_on_ray_evaluate_the_same(tmp_path):
    ray = pytest.importorskip("ray")
    one = searched(tmp_path / "one", Measured(), STRATEGIES[0], evaluations=20)
    workers = Workers(jobs=2, engine="ray")
    two = searched(tmp_path / "two", Measured(), STRATEGIES[0], evaluations=20, workers=workers)
    assert [(e["key"], e["metrics"]) for e in one.entries] == [
        (e["key"], e["metrics"]) for e in two.entries
    ]
    ray.shutdown()


class Cluster(ModuleType):
    """Ray, as far as it is asked for: tasks are done when they are waited for, the last first."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.most, self.stored = 0, []

    def is_initialized(self):
        return True

    def put(self, value):
        self.stored.append(value)
        return len(self.stored) - 1

    def get(self, asked):
        return [task() for task in asked] if isinstance(asked, list) else self.stored[asked]

    def remote(self, function):
        options = SimpleNamespace(remote=lambda *given: partial(function, *given))
        return SimpleNamespace(options=lambda **resources: options)

    def wait(self, tasks):
        self.most = max(self.most, len(tasks))
        return tasks[-1:], tasks[:-1]


def test_a_cluster_gets_as_many_as_are_wanted_at_once_and_each_candidate_once(monkeypatch):
    cluster = Cluster()
    monkeypatch.setitem(sys.modules, "ray", cluster)
    measures = SimpleNamespace(device=torch.device("cpu"), evaluated=lambda c: {"miou": c / 10})
    workers = Workers(jobs=3, engine="ray")
    before = torch.get_num_threads()
    answers = [*workers(measures, [5, 6, 7, 8, 9]), *workers(measures, [1, 2])]
    torch.set_num_threads(before)  # which each process of a cluster sets for itself
    found = {(place, metrics["miou"]) for place, metrics, _ in answers[:5]}
    assert found == {(place, (5 + place) / 10) for place in range(5)}
    assert cluster.most == 3 and len(cluster.stored) == 1 and len(answers) == 7


def test_workers_on_a_cluster_need_it(tmp_path):
    with pytest.raises(ConfigError, match=r"say how many at once, such as workers.jobs=8"):
        Workers(engine="ray")
