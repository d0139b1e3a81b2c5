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
from segsuite.searching.objectives import COUNTED, LATENCY, MEMORY, Goals, dominates, front
from segsuite.searching.result import SearchResult
from segsuite.searching.strategies import Strategy
from segsuite.searching.workers import Evaluate, InTurn

_FAILURES = 3
"""Candidates that cannot be evaluated, with none that can, after which a search ends."""

_STALLED = 1000
"""Candidates in a row of which none was new and kept the limits, after which a search ends."""


class Measures(Protocol):
    """What is known of architectures, such as `methods.hyctas.subnetworks.Subnetworks`."""

    genes: Encoding

    def cheap(self, architecture: Any, names: Sequence[str]) -> dict[str, float]:
        """The metrics of that name that need no image."""

    def evaluated(self, architecture: Any) -> dict[str, float]:
        """The metrics that need images."""


class LatencyPredictor(Protocol):
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
        latency: LatencyPredictor | None = None,
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
        batch, stalled = next(proposals, []), 0
        while batch and len(search.found) < self.evaluations and stalled < _STALLED:
            before, proposed = len(search.found), len(batch)
            judged = search.judged(batch)
            stalled = 0 if len(search.found) > before else stalled + proposed
            if search.fresh:
                grown(search.result())
            try:
                batch = proposals.send(judged)
            except StopIteration:  # nothing new to propose
                batch = []
        if not search.found:
            raise ConfigError(
                f"no architecture keeps {dict(self.goals.limits)} ({len(search.refused)} tried); "
                "raise the limits, or take a smaller space (method.space of the supernet)"
            )
        if len(search.found) < self.evaluations:
            tell(
                f"ended after {len(search.found)} of {self.evaluations} evaluations: the strategy "
                "proposes nothing more, since what it still finds is known, exceeds a limit, or no "
                "longer brings the front forward"
            )
        result = search.result()
        if not result.best:
            tell(f"none of {len(result.entries)} keeps {dict(self.goals.limits)}: no front")
        return result


class _Progress:
    """A search under way.

    Attributes:
        found: what is known of each architecture that was evaluated, by its key, in the order in
            which it was proposed.
        refused: keys of architectures that exceed a limit before they are evaluated.
        fresh: whether anything was evaluated for the last batch.
    """

    def __init__(
        self,
        search: Search,
        measures: Measures,
        archive: Archive,
        latency: LatencyPredictor | None,
        tell: Callable[[str], None],
    ) -> None:
        self.search, self.measures, self.archive, self.tell = search, measures, archive, tell
        self.goals, self.latency = search.goals, latency
        self.found: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()
        self.fresh = False
        self.problem = Problem(measures.genes, search.goals, self._known)
        self._counted: dict[bytes, dict[str, float]] = {}

    def _known(self, vector: Vector) -> dict[str, float]:
        """What is known at once."""
        name, architecture = self.problem.name(vector), self.measures.genes.decoded(vector)
        if name not in self._counted:
            names = [name for name in self.goals.metrics if name in COUNTED]
            self._counted[name] = self.measures.cheap(architecture, names)
        if self.latency is None:
            return self._counted[name]
        return {**self._counted[name], LATENCY: self.latency.estimate(architecture).value}

    def judged(self, batch: Sequence[Vector]) -> list[Judged]:
        """What candidates cost: looked up, or evaluated as far as the budget allows."""
        room = self.search.evaluations - len(self.found)
        proposed, wanted = [], {}
        for vector in batch:
            candidate = self._candidate(vector)
            proposed.append(candidate)
            if not self.goals.kept(self._at_best(candidate)):
                self.refused.add(candidate.key)
            elif candidate.key not in self.found and (
                candidate.key in wanted or len(wanted) < room
            ):
                wanted[candidate.key] = candidate
        fresh = [candidate for key, candidate in wanted.items() if key not in self.archive]
        self._evaluate(fresh, before=len(self.found) + len(wanted) - len(fresh))
        for candidate in wanted.values():
            self.found[candidate.key] = self._settled(candidate)
        return [
            self.problem.judged(self.found[c.key]["metrics"] if c.key in self.found else c.known)
            for c in proposed
        ]

    def _candidate(self, vector: Vector) -> "_Candidate":
        architecture = self.measures.genes.decoded(vector)
        plain, known = architecture.to_dict(), dict(self._known(vector))
        key = key_of(plain)
        if MEMORY in self.goals.metrics:
            stored = self.archive[key]["metrics"] if key in self.archive else {}
            known |= (
                {MEMORY: stored[MEMORY]}
                if MEMORY in stored
                else self.measures.cheap(architecture, [MEMORY])
            )
        return _Candidate(key, architecture, plain, known)

    def _evaluate(self, candidates: Sequence["_Candidate"], *, before: int) -> None:
        """Adds to the archive, each as soon as it is known; without latencies, which are of today's
        table.

        Args:
            before: how many are known already.
        """
        self.fresh, begun = bool(candidates), time.perf_counter()
        if self.goals.accuracy:
            architectures = [candidate.architecture for candidate in candidates]
            answers = self.search.workers(self.measures, architectures)
        else:
            answers = ((place, {}, 0.0) for place in range(len(candidates)))
        for done, (place, answer, seconds) in enumerate(answers, start=1):
            candidate = candidates[place]
            failed = {"failed": answer} if isinstance(answer, str) else {}
            own = {name: value for name, value in candidate.known.items() if name != LATENCY}
            metrics = {**own, **({} if isinstance(answer, str) else answer)}
            entry = {"metrics": metrics, "seconds": seconds, "architecture": candidate.plain}
            self.archive.add(candidate.key, {**entry, **failed})
            shown = ", ".join(
                f"{'expected ' if name == LATENCY else ''}{name} {value:.4g}"
                for name, value in {**candidate.known, **metrics}.items()
            )
            count = len(candidate.plain["branches"])
            each = (time.perf_counter() - begun) / done
            self.tell(
                f"{before + done} of {self.search.evaluations}, {candidate.key}: {shown} "
                f"({each:.1f} s, {count} branch{'es' if count > 1 else ''})"
                + (f"; it cannot be evaluated: {answer}" if failed else "")
            )
        self._check_failures()

    def _check_failures(self) -> None:
        """Raises ConfigError where nothing could be evaluated: that is no candidate's fault."""
        failures = [entry["failed"] for entry in self.archive if "failed" in entry]
        if len(failures) == len(self.archive) >= _FAILURES:
            raise ConfigError(
                f"none of {len(failures)} candidates could be evaluated; the last: {failures[-1]}. "
                "With less memory than that takes, type a smaller batch_size or size"
            )

    def _settled(self, candidate: "_Candidate") -> dict[str, Any]:
        """What is known of it in the end: with its latency, measured if that decides whether it is
        one of the best or keeps a limit, and else predicted."""
        entry = self.archive[candidate.key]
        if self.latency is None:
            return entry
        metrics = {**entry["metrics"], LATENCY: candidate.known[LATENCY]}
        if not self._decides(candidate, metrics):
            return {**entry, "metrics": metrics}
        if LATENCY not in entry["metrics"]:
            milliseconds = self.latency.measured(candidate.architecture)
            entry = {**entry, "metrics": {**entry["metrics"], LATENCY: milliseconds}}
            self.archive.add(candidate.key, entry)
            self.tell(f"{candidate.key}: latency measured, {milliseconds:.4g} ms")
        self.latency.learn(candidate.architecture, entry["metrics"][LATENCY])
        return {**entry, "measured": True}

    def _decides(self, candidate: "_Candidate", metrics: Mapping[str, float]) -> bool:
        """Whether it matters where in its band the latency lies."""
        best, worst = self._at_best(candidate, metrics), self._at_best(candidate, metrics, sign=1)
        if not self.goals.complete(metrics) or not self.goals.kept(best):
            return False
        if not self.goals.kept(worst):
            return True
        own = self.goals.costs(best)
        others = (self.goals.costs(entry["metrics"]) for entry in self.found.values())
        return LATENCY in self.goals.names and not any(dominates(other, own) for other in others)

    def _at_best(
        self,
        candidate: "_Candidate",
        metrics: Mapping[str, float] | None = None,
        *,
        sign: int = -1,
    ) -> Mapping[str, float]:
        """The metrics with a latency at the end of what it may be."""
        metrics = candidate.known if metrics is None else metrics
        if self.latency is None:
            return metrics
        band = self.latency.estimate(candidate.architecture).band
        return {**metrics, LATENCY: metrics[LATENCY] + sign * band}

    def result(self) -> SearchResult:
        """What was found so far."""
        goals, entries = self.goals, list(self.found.values())
        kept = [e for e in entries if goals.complete(e["metrics"]) and goals.kept(e["metrics"])]
        best = [kept[place] for place in front([goals.costs(e["metrics"]) for e in kept])]
        best.sort(key=lambda entry: tuple(goals.costs(entry["metrics"])))
        return SearchResult(goals, entries, best, len(self.refused - self.found.keys()))


@dataclass(frozen=True)
class _Candidate:
    """A proposed architecture, its name in the archive, and what needs no evaluation."""

    key: str
    architecture: Any
    plain: Mapping[str, Any]
    known: Mapping[str, float]
