"""`probe=latency_table`: makes a table, and asks it for networks that it has not seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Sides
from segsuite.core.results import Entry, Metric
from segsuite.engine.inference.candidates import NamedNetworks
from segsuite.engine.inference.framing import pair
from segsuite.measure.machine import machine
from segsuite.methods.hyctas.pieces import Pieces
from segsuite.methods.hyctas.supernet import Supernet
from segsuite.searching.correlation import correlation
from segsuite.searching.latency.measuring import names_of, seconds_of
from segsuite.searching.latency.source import FILE, TableSource
from segsuite.searching.latency.table import Estimate, LatencyTable

GOOD = 0.95
"""Spearman's correlation that a table should have."""

UNSEEN_SEED = 1
"""The networks that a table is fitted on are drawn with 0."""


@dataclass(frozen=True)
class Validation:
    """What a table said of networks that it had not seen, and how long they took.

    Attributes:
        path: the table's file, None if it lies in the run's folder.
        name: of the supernet.
        estimates, seconds: of each network; seconds as the machine was when the table was made.
        drift: how many times as long the table's reference took as it did then.
        machine: what it was measured on.
    """

    table: LatencyTable
    path: Path | None
    name: str
    estimates: list[Estimate]
    seconds: list[float]
    drift: float
    machine: Mapping[str, Any]

    @property
    def errors(self) -> np.ndarray:
        """Of each, in shares of its time."""
        return np.array([e.value for e in self.estimates]) / self.seconds - 1

    @property
    def inside(self) -> float:
        """The share of networks whose time lies within the band."""
        pairs = zip(self.estimates, self.seconds, strict=True)
        return float(np.mean([abs(e.value - s) <= e.band for e, s in pairs]))

    def correlations(self) -> dict[str, float]:
        """Spearman's and Kendall's between what it said and what was."""
        said = [e.value for e in self.estimates]
        return {name: correlation(name, said, self.seconds) for name in ("spearman", "kendall")}

    def figures(self) -> dict[str, float]:
        """All that is told of it."""
        return {
            **self.correlations(),
            "mean_error": float(np.abs(self.errors).mean()),
            "worst_error": float(np.abs(self.errors).max()),
            "within_band": self.inside,
            "drift": self.drift,
            "parts": float(len(self.table.parts)),
            "whole_networks": float(len(self.table.wholes) + len(self.seconds)),
        }

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; with `parts` each network's milliseconds."""
        found = self.figures()
        found |= {name: int(found[name]) for name in ("parts", "whole_networks")}
        plain = {"network": self.name, "about": dict(self.table.about), **found}
        if parts:
            plain["networks"] = [
                {"said_ms": 1e3 * e.value, "band_ms": 1e3 * e.band, "took_ms": 1e3 * seconds}
                for e, seconds in zip(self.estimates, self.seconds, strict=True)
            ]
        return plain

    def entries(self) -> list[Entry]:
        """One, of the table."""
        metrics = {name: Metric(value=value) for name, value in self.figures().items()}
        return [Entry(name=self.name, metrics=metrics, settings=dict(self.table.about))]

    def show(self, console: Console, folder: Path) -> None:
        """Prints the figures."""
        found, taken = self.figures(), 1e3 * np.array(self.seconds)
        about = ", ".join(f"{name} {value}" for name, value in self.table.about.items())
        lines = [
            f"{len(self.table.parts)} parts and {len(self.table.wholes)} whole networks of "
            f"{self.name} ({about})",
            f"{len(self.seconds)} networks that it has not seen, {taken.min():.1f} to "
            f"{taken.max():.1f} ms, measured in turns: Spearman {found['spearman']:.3f}, Kendall "
            f"{found['kendall']:.3f}, mean error {100 * found['mean_error']:.1f} %, worst "
            f"{100 * found['worst_error']:.1f} %; {100 * found['within_band']:.0f} % within its "
            f"band; the machine takes {found['drift']:.2f} times as long as for the table",
            f"table: {self.path or folder / FILE}",
        ]
        if found["spearman"] < GOOD:
            lines.append(
                f"a Spearman below {GOOD} ranks networks too badly for a search, which would have "
                "to measure most of them: measure on a machine that does nothing else, with more "
                "rounds"
            )
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


class ValidateTable:
    """Makes a table, or reads one, and compares it with networks that it has not seen.

    Args:
        networks: the supernet, by its checkpoint or experiment: times do not depend on weights.
        size: (height, width) of the images.
        source: where the table comes from.
        unseen: how many networks it is asked for.
        folder: where a table that is made is kept.
    """

    def __init__(
        self,
        *,
        networks: NamedNetworks,
        size: Sides,
        source: TableSource,
        folder: str,
        unseen: Annotated[int, Between(3)] = 30,
    ) -> None:
        self.networks, self.size, self.source = networks, pair(size), source
        self.unseen, self.folder = unseen, Path(folder)
        correlation("kendall", [0, 1, 2], [0, 1, 2])  # before hours of measurement: is scipy there?

    def __call__(self, *, data_overrides: list[str], tell: Any) -> Validation:
        """Measures.

        Raises:
            ConfigError: not exactly one supernet, or a table that is not of here.
        """
        candidates = self.networks.built(self.size, data_overrides=data_overrides)
        if len(candidates) != 1 or not isinstance(candidates[0].network, Supernet):
            raise ConfigError(
                "probe=latency_table measures the parts of one supernet; type "
                "experiments=[hyctas_supernet_camvid], or checkpoints=[FILE] of a trained one"
            )
        supernet = candidates[0].network
        pieces = Pieces(supernet.network_of, supernet.space, self.size)
        table = self.source(pieces, self.folder, tell=tell)
        generator = np.random.default_rng(UNSEEN_SEED)
        genotypes = [pieces.random(generator) for _ in range(self.unseen)]
        tell(f"measuring {self.unseen} networks that the table has not seen")
        runtime, rounds = self.source.runtime, self.source.rounds
        wholes = [pieces.whole(g) for g in (pieces.read(table.reference), *genotypes)]
        reference, *seconds = seconds_of(wholes, runtime, rounds=rounds)
        drift = reference / table.wholes[0].seconds
        return Validation(
            table=table,
            path=self.source.path,
            name=candidates[0].name,
            estimates=[table(names_of(pieces, genotype)) for genotype in genotypes],
            seconds=[own / drift for own in seconds],
            drift=drift,
            machine=machine(runtime.device),
        )
