"""A search from its first candidate to the front, and what stays of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from segsuite.core.errors import ConfigError
from segsuite.core.files import write_json
from segsuite.core.hints import Count
from segsuite.core.results import Entry, metrics_of
from segsuite.searching.archive import Archive, key_of
from segsuite.searching.encoding import Encoding, Judged
from segsuite.searching.objectives import CHEAP, Goals, front
from segsuite.searching.strategies import Strategy

ARCHIVE = Path("archive.jsonl")
"""In the run's folder; what a search goes on from."""

_VAIN = 1000
"""Candidates in a row of which none was new and kept the limits, after which a search ends."""


class Measures(Protocol):
    """What is known of architectures, such as `methods.hyctas.subnetworks.Subnetworks`."""

    genes: Encoding

    def metrics(self, architecture: Any, names: Sequence[str]) -> dict[str, float]:
        """The metrics of that name."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        entries: all that was evaluated, in the order of the search.
        best: those of them that no other beats and that keep all limits.
        refused: how many were not evaluated, since they exceed a cheap limit.
    """

    goals: Goals
    entries: list[dict[str, Any]]
    best: list[dict[str, Any]]
    refused: int

    def records(self) -> list[Entry]:
        """One per architecture of the front."""
        return [
            Entry(
                name=entry["key"],
                metrics=metrics_of(entry["metrics"]),
                settings={"branches": len(entry["architecture"]["branches"])},
                artefacts={},
                own={"genotype": entry["architecture"]},
            )
            for entry in self.best
        ]

    def show(self, console: Console) -> None:
        """Prints the front."""
        table = Table(title=f"{len(self.best)} of {len(self.entries)} that none beats")
        for name in ("architecture", *self.goals.metrics):
            table.add_column(name, justify="left" if name == "architecture" else "right")
        for entry in self.best:
            table.add_row(entry["key"], *(f"{entry['metrics'][n]:.4g}" for n in self.goals.metrics))
        console.print(table)


class Search:
    """Searches an archive full of architectures.

    Args:
        strategy: who proposes candidates.
        objectives: metrics that are optimised: miou, gmacs, parameters.
        limits: the most that metrics may be; the least, of miou. None is no limit.
        evaluations: how many architectures are evaluated in all.
        seed: seed of the strategy.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        objectives: Sequence[str],
        limits: Mapping[str, float | None],
        evaluations: Count,
        seed: int = 0,
    ) -> None:
        given = {name: limit for name, limit in limits.items() if limit is not None}
        self.goals = Goals(tuple(objectives), given)
        self.strategy, self.evaluations, self.seed = strategy, evaluations, seed

    def __call__(
        self,
        measures: Measures,
        archive: Archive,
        *,
        tell: Callable[[str], None] = lambda text: None,
    ) -> SearchResult:
        """Goes on from what stands in the archive, if anything does.

        Raises:
            ConfigError: no architecture keeps the limits that cost nothing to check.
        """
        search = _Progress(self, measures, archive, tell)
        proposals = self.strategy(
            measures.genes,
            objectives=len(self.goals.names),
            limits=len(self.goals.limits),
            seed=self.seed,
        )
        batch, vain = next(proposals), 0
        while batch and len(search.order) < self.evaluations and vain < _VAIN:
            before, proposed = len(search.order), len(batch)
            judged = [search.judged(vector) for vector in batch]
            vain = 0 if len(search.order) > before else vain + proposed
            try:
                batch = proposals.send(judged)
            except StopIteration:  # nothing new to propose
                batch = []
        if not search.order:
            raise ConfigError(
                f"none of {search.refused} architectures keeps {dict(self.goals.limits)}; raise "
                "the limits, or take a smaller space (method.space of the supernet)"
            )
        if len(search.order) < self.evaluations:
            tell(
                f"ended after {len(search.order)} of {self.evaluations} evaluations: nothing new "
                "that keeps the limits is proposed any more"
            )
        return search.result()


class _Progress:
    """A search under way."""

    def __init__(
        self, search: Search, measures: Measures, archive: Archive, tell: Callable[[str], None]
    ) -> None:
        self.search, self.measures, self.archive, self.tell = search, measures, archive, tell
        self.order: dict[str, None] = {}
        self._refused: set[str] = set()
        self._cheap = [name for name in search.goals.metrics if name in CHEAP]
        self._expensive = [name for name in search.goals.metrics if name not in CHEAP]

    @property
    def refused(self) -> int:
        """How many architectures exceed a limit that costs nothing to check."""
        return len(self._refused)

    def judged(self, vector: Any) -> Judged:
        """What a candidate costs: looked up, or evaluated if the budget allows."""
        goals, architecture = self.search.goals, self.measures.genes.decoded(vector)
        plain = architecture.to_dict()
        key = key_of(plain)
        known = self.archive[key]["metrics"] if key in self.archive else None
        if known is None:
            metrics = self.measures.metrics(architecture, self._cheap)
        else:
            metrics = {name: known[name] for name in self._cheap}
        if not goals.kept(metrics):
            self._refused.add(key)
        elif known is not None:
            metrics = known
            if len(self.order) < self.search.evaluations:
                self.order.setdefault(key)
        elif len(self.order) < self.search.evaluations:
            metrics = self._evaluated(key, architecture, plain, metrics)
        return Judged(goals.costs(metrics), goals.excess(metrics))

    def _evaluated(
        self, key: str, architecture: Any, plain: Mapping[str, Any], cheap: Mapping[str, float]
    ) -> dict[str, float]:
        begun = time.perf_counter()
        metrics = {**cheap, **self.measures.metrics(architecture, self._expensive)}
        seconds = time.perf_counter() - begun
        self.archive.add(key, {"metrics": metrics, "seconds": seconds, "architecture": plain})
        self.order.setdefault(key)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.tell(
            f"{len(self.order)} of {self.search.evaluations}: {shown} ({seconds:.1f} s, "
            f"{len(plain['branches'])} branches)"
        )
        return metrics

    def result(self) -> SearchResult:
        goals = self.search.goals
        entries = [self.archive[key] for key in self.order]
        kept = [entry for entry in entries if goals.kept(entry["metrics"])]
        best = [kept[place] for place in front([goals.costs(e["metrics"]) for e in kept])]
        best.sort(key=lambda entry: tuple(goals.costs(entry["metrics"])))
        if not best:
            self.tell(f"none of {len(entries)} keeps {dict(goals.limits)}: there is no front")
        return SearchResult(goals, entries, best, self.refused)


def write_genotypes(result: SearchResult, folder: Path, target: str) -> list[Path]:
    """A YAML file for each architecture of the front, to be retrained, where Hydra looks for it.

    `--config-dir FOLDER method/genotype=KEY` chooses one.

    Args:
        target: import path of what makes an architecture of its plain form.
    """
    import yaml

    paths, group = [], folder / "method" / "genotype"
    group.mkdir(parents=True, exist_ok=True)
    for entry in result.best:
        path = group / f"{entry['key']}.yaml"
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in entry["metrics"].items())
        node = {"_target_": target, **entry["architecture"]}
        text = yaml.safe_dump(node, sort_keys=False, default_flow_style=None)
        path.write_text(f"# {metrics} (by the supernet)\n{text}")
        paths.append(path)
    write_json(folder / "front.json", result.best)
    return paths
