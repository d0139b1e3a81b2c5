"""A search from its first candidate to the front."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count
from segsuite.searching.archive import Archive, key_of
from segsuite.searching.encoding import Encoding, Judged, Problem, Vector
from segsuite.searching.latency.table import Estimate
from segsuite.searching.objectives import CHEAP, LATENCY, Goals, front
from segsuite.searching.result import SearchResult
from segsuite.searching.strategies import Strategy
from segsuite.searching.workers import Evaluate, InTurn

_VAIN = 1000
"""Candidates in a row of which none was new and kept the limits, after which a search ends."""


class Measures(Protocol):
    """What is known of architectures, such as `methods.hyctas.subnetworks.Subnetworks`."""

    genes: Encoding

    def cheap(self, architecture: Any, names: Sequence[str]) -> dict[str, float]:
        """The metrics of that name that need no image."""

    def evaluated(self, architecture: Any) -> dict[str, float]:
        """The metrics that need images."""


class Timed(Protocol):
    """Tells how long architectures take, such as `latency.model.LatencyModel`."""

    def estimate(self, architecture: Any) -> Estimate:
        """What it expects."""

    def measured(self, architecture: Any) -> float:
        """What it is."""

    def learn(self, architecture: Any, milliseconds: float) -> None:
        """Lets a measurement count from now on."""


class Search:
    """Searches an archive full of architectures.

    Args:
        strategy: who proposes candidates.
        objectives: metrics that are optimised, see `objectives.KNOWN`.
        limits: the most that metrics may be; the least, of miou. None is no limit.
        evaluations: how many architectures are evaluated in all.
        workers: evaluates several candidates; None for one after the other.
        seed: seed of the strategy.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        objectives: Sequence[str],
        limits: Mapping[str, float | None],
        evaluations: Count,
        workers: Evaluate | None = None,
        seed: int = 0,
    ) -> None:
        given = {name: limit for name, limit in limits.items() if limit is not None}
        self.goals = Goals(tuple(objectives), given)
        self.strategy, self.evaluations, self.seed = strategy, evaluations, seed
        self.workers = workers or InTurn()

    def __call__(
        self,
        measures: Measures,
        archive: Archive,
        *,
        latency: Timed | None = None,
        tell: Callable[[str], None] = lambda text: None,
        grown: Callable[[SearchResult], None] = lambda result: None,
    ) -> SearchResult:
        """Goes on from what stands in the archive, if anything does.

        Args:
            latency: where latency is among the goals.
            tell: called with a sentence about what is going on.
            grown: called with what was found so far, after each batch of evaluations.

        Raises:
            ConfigError: no architecture keeps the limits that cost nothing to check.
        """
        search = _Progress(self, measures, archive, latency, tell)
        proposals = self.strategy(search.problem, seed=self.seed)
        batch, vain = next(proposals), 0
        while batch and len(search.order) < self.evaluations and vain < _VAIN:
            before, proposed = len(search.order), len(batch)
            judged = search.judged(batch)
            vain = 0 if len(search.order) > before else vain + proposed
            if search.fresh:
                grown(search.result())
            try:
                batch = proposals.send(judged)
            except StopIteration:  # nothing new to propose
                batch = []
        if not search.order:
            raise ConfigError(
                f"none of {len(search.refused)} architectures keeps {dict(self.goals.limits)}; "
                "raise the limits, or take a smaller space (method.space of the supernet)"
            )
        if len(search.order) < self.evaluations:
            tell(
                f"ended after {len(search.order)} of {self.evaluations} evaluations: the strategy "
                "has nothing new to propose that keeps the limits"
            )
        result = search.result()
        if not result.best:
            tell(f"none of {len(result.entries)} keeps {dict(self.goals.limits)}: no front")
        return result


class _Progress:
    """A search under way.

    Attributes:
        order: keys of what was evaluated, in the order in which it was proposed.
        refused: keys of architectures that exceed a limit that costs nothing to check.
        fresh: whether anything was evaluated for the last batch.
    """

    def __init__(
        self,
        search: Search,
        measures: Measures,
        archive: Archive,
        latency: Timed | None,
        tell: Callable[[str], None],
    ) -> None:
        self.search, self.measures, self.archive, self.tell = search, measures, archive, tell
        self.latency = latency
        self.order: dict[str, None] = {}
        self.refused: set[str] = set()
        self.fresh = False
        self.problem = Problem(measures.genes, search.goals, self._known)
        self._names = [name for name in search.goals.metrics if name in CHEAP]
        self._counted: dict[bytes, dict[str, float]] = {}

    def _known(self, vector: Vector) -> dict[str, float]:
        """What needs no evaluation."""
        name, architecture = self.problem.name(vector), self.measures.genes.decoded(vector)
        if name not in self._counted:
            self._counted[name] = self.measures.cheap(architecture, self._names)
        if self.latency is None:
            return self._counted[name]
        return {**self._counted[name], LATENCY: self.latency.estimate(architecture).seconds}

    def judged(self, batch: Sequence[Vector]) -> list[Judged]:
        """What candidates cost: looked up, or evaluated as far as the budget allows."""
        room = self.search.evaluations - len(self.order)
        keys, wanted = [], {}
        for vector in batch:
            candidate = _Candidate.of(self.measures.genes.decoded(vector), self._known(vector))
            keys.append(key := candidate.key)
            if not self.search.goals.kept(self._at_best(candidate, candidate.known)):
                self.refused.add(key)
            elif key not in self.order and (key in wanted or len(wanted) < room):
                wanted[key] = candidate
        self._evaluate([wanted[key] for key in wanted if key not in self.archive])
        for candidate in wanted.values():
            self._settle(candidate)
            self.order[candidate.key] = None
        return [
            self.problem.judged(
                self.archive[key]["metrics"] if key in self.order else self._known(vector)
            )
            for vector, key in zip(batch, keys, strict=True)
        ]

    def _evaluate(self, candidates: Sequence["_Candidate"]) -> None:
        """Adds to the archive, each as soon as it is known."""
        self.fresh, begun = bool(candidates), time.perf_counter()
        architectures = [candidate.architecture for candidate in candidates]
        answers = self.search.workers(self.measures, architectures)
        for done, (place, metrics, seconds) in enumerate(answers, start=1):
            candidate = candidates[place]
            metrics = {**candidate.known, **metrics}
            entry = {"metrics": metrics, "seconds": seconds, "architecture": candidate.plain}
            self.archive.add(candidate.key, entry)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            each = (time.perf_counter() - begun) / done
            self.tell(
                f"{len(self.order) + done} of {self.search.evaluations}: {shown} "
                f"({each:.1f} s, {len(candidate.plain['branches'])} branches)"
            )

    def _settle(self, candidate: "_Candidate") -> None:
        """Measures its latency if that decides whether it is one of the best, or keeps a limit."""
        entry = self.archive[candidate.key]
        if self.latency is None:
            return
        if not entry.get("measured") and self._decides(candidate, entry["metrics"]):
            milliseconds = self.latency.measured(candidate.architecture)
            metrics = {**entry["metrics"], LATENCY: milliseconds}
            entry = {**entry, "metrics": metrics, "measured": True}
            self.archive.add(candidate.key, entry)
            self.tell(f"{candidate.key}: latency measured, {milliseconds:.4g} ms")
        if entry.get("measured"):
            self.latency.learn(candidate.architecture, entry["metrics"][LATENCY])

    def _decides(self, candidate: "_Candidate", metrics: Mapping[str, float]) -> bool:
        goals = self.search.goals
        best = self._at_best(candidate, metrics)
        if not goals.kept(best):
            return False
        if not goals.kept(self._at_best(candidate, metrics, sign=1)):
            return True
        own = goals.costs(best)
        others = (goals.costs(self.archive[key]["metrics"]) for key in self.order)
        return not any((other <= own).all() and (other < own).any() for other in others)

    def _at_best(
        self, candidate: "_Candidate", metrics: Mapping[str, float], *, sign: int = -1
    ) -> Mapping[str, float]:
        """The metrics with a latency at the end of what it may be."""
        if self.latency is None:
            return metrics
        band = self.latency.estimate(candidate.architecture).band
        return {**metrics, LATENCY: metrics[LATENCY] + sign * band}

    def result(self) -> SearchResult:
        """What was found so far."""
        goals = self.search.goals
        entries = [self.archive[key] for key in self.order]
        kept = [entry for entry in entries if goals.kept(entry["metrics"])]
        best = [kept[place] for place in front([goals.costs(e["metrics"]) for e in kept])]
        best.sort(key=lambda entry: tuple(goals.costs(entry["metrics"])))
        return SearchResult(goals, entries, best, len(self.refused))


@dataclass(frozen=True)
class _Candidate:
    """A proposed architecture, its name in the archive, and what needs no evaluation."""

    key: str
    architecture: Any
    plain: Mapping[str, Any]
    known: Mapping[str, float]

    @classmethod
    def of(cls, architecture: Any, known: Mapping[str, float]) -> "_Candidate":
        plain = architecture.to_dict()
        return cls(key_of(plain), architecture, plain, known)
