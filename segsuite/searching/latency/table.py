"""A look-up table of parts, measured on one machine, and what it says of whole networks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from segsuite.core.errors import ConfigError
from segsuite.core.files import write_json
from segsuite.searching.latency.correction import Correction, fitted

VERSION = 1
"""Of the form of the file."""


@dataclass(frozen=True)
class Part:
    """What is known of a part.

    Attributes:
        seconds: how long it takes alone.
        kernels: how many operations it runs.
        bytes: bytes of what these give.
    """

    seconds: float
    kernels: int
    bytes: int


@dataclass(frozen=True)
class Whole:
    """A whole network that was measured, by the names of its parts."""

    parts: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """A time, and by how much the truth may lie apart."""

    value: float
    band: float


@dataclass(frozen=True)
class LatencyTable:
    """What was measured, and on what.

    Attributes:
        about: the machine, the runtime and the day.
        reference: the architecture of the first whole network, in plain types: whatever is measured
            later is measured beside it.
        parts: each part by its name.
        wholes: the networks that the sum of their parts is corrected by.
    """

    about: Mapping[str, Any]
    reference: Mapping[str, Any]
    parts: Mapping[str, Part]
    wholes: tuple[Whole, ...]

    @cached_property
    def correction(self) -> Correction:
        """Fitted on the whole networks."""
        rows = np.stack([self._features(whole.parts) for whole in self.wholes])
        return fitted(rows, [whole.seconds for whole in self.wholes])

    def __call__(self, parts: Sequence[str]) -> Estimate:
        """What a network of these parts takes.

        Raises:
            KeyError: a part that was not measured.
        """
        row = self._features(parts)[None]
        return Estimate(float(self.correction(row)[0]), float(self.correction.band(row)[0]))

    @property
    def error_text(self) -> str:
        """How far it is off, on networks that a fit without them was asked for."""
        return f"off by {100 * self.correction.error:.1f} % on networks left out of the fit"

    def lacks(self, parts: Sequence[str]) -> list[str]:
        """Those that were not measured."""
        return sorted({*parts} - {*self.parts})

    def learnt(self, parts: Sequence[str], seconds: float) -> Self:
        """The table with one more whole network."""
        return replace(self, wholes=(*self.wholes, Whole(tuple(parts), seconds)))

    def _features(self, parts: Sequence[str]) -> np.ndarray:
        own = [self.parts[name] for name in parts]
        return np.array(
            [
                1.0,
                sum(part.seconds for part in own),
                sum(part.kernels for part in own),
                sum(part.bytes for part in own),
            ]
        )

    def save(self, path: Path) -> None:
        """As JSON."""
        write_json(path, self._plain())

    def _plain(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "about": dict(self.about),
            "reference": dict(self.reference),
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "networks": [asdict(whole) for whole in self.wholes],
        }

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a file.

        Raises:
            ConfigError: it is no such table.
        """
        try:
            plain = json.loads(Path(path).read_text())
            if plain["version"] != VERSION:
                raise ValueError(f"version {plain['version']}")
            return cls(
                about=dict(plain["about"]),
                reference=dict(plain["reference"]),
                parts={name: Part(**part) for name, part in plain["parts"].items()},
                wholes=tuple(Whole(tuple(n["parts"]), n["seconds"]) for n in plain["networks"]),
            )
        except FileNotFoundError as error:
            raise ConfigError(
                f"latency.table={path}: there is no such file; python -m segsuite.benchmark "
                "probe=latency_table checkpoints=[SUPERNET] makes one"
            ) from error
        except KeyError as error:
            raise ConfigError(
                f"latency.table={path} is no table of latencies, since it has no {error}; type the "
                "latency.json of a run of python -m segsuite.benchmark probe=latency_table"
            ) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"latency.table={path} is no table of latencies ({error})") from error

    def check(self, facts: Mapping[str, Any], path: Path, *, typed: bool = True) -> None:
        """Raises ConfigError for a table of another machine, runtime or version.

        Args:
            typed: whether its path was typed; else it lies in the run's folder.
        """
        for name in dict.fromkeys((*facts, *self._circumstances)):
            there, here = self.about.get(name), facts.get(name)
            if there != here:
                raise ConfigError(
                    f"{path} was measured elsewhere: {name} was {there!r}, and is {here!r}. Its "
                    "times are not those of this machine; "
                    + ("make another table, or leave latency.table out" if typed else "begin anew")
                )

    @property
    def _circumstances(self) -> list[str]:
        return [name for name in self.about if name != "date"]
