"""What every measurement leaves behind, in one form: `record` in a `result.json` or `sweep.json`.

Plain JSON, so that a page, a table or another program reads all of them alike.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from segsuite.core.errors import ConfigError

VERSION = 1
"""Of the form. One that this suite does not know is refused, not guessed at."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number and, where it was measured repeatedly, between which bounds it lies.

    Attributes:
        value: None where it is undefined or could not be measured.
        low, high: bounds of the value; None where nothing was repeated.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one network, or of one loss, file, runtime or job.

    Attributes:
        name: what it is called beside others.
        metrics: metrics by name; names end in their unit where they have one.
        settings: what tells it from the other entries, such as the batch or the size.
        artefacts: paths of its files, by what they are.
        own: what only its family has, by the family's name: `{"segvit": {...}}`.
    """

    name: str
    metrics: Mapping[str, Metric]
    settings: Mapping[str, Any] = field(default_factory=dict)
    artefacts: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one start of an entry point found, and under what circumstances.

    Attributes:
        kind: the entry point or the probe: train, evaluate, export, sweep, speed, runtimes, ...
        name: name of the run.
        config: what was typed, override by override.
        machine: processor or GPU, threads and versions, as `measure.machine` gives them.
        commit: the checkout that was run, and whether it was changed; None outside of one.
    """

    kind: str
    name: str
    config: Sequence[str]
    machine: Mapping[str, Any]
    commit: Mapping[str, Any] | None
    entries: Sequence[Entry]

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], *, source: str | Path) -> Self:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: another version, or no such record.
        """
        if not isinstance(plain, Mapping):
            raise ConfigError(f"{source} holds a damaged record ({plain!r:.40}); make it anew")
        if (version := plain.get("version")) != VERSION:
            raise ConfigError(
                f"{source} holds a record of version {version}, and this suite reads version "
                f"{VERSION}; read it with the suite that wrote it"
            )
        try:
            entries = [
                Entry(**entry | {"metrics": {n: Metric(**m) for n, m in entry["metrics"].items()}})
                for entry in plain["entries"]
            ]
            known: Any = {k: v for k, v in plain.items() if k != "version"}
            made = cls(**known | {"entries": entries})
            made.check()
            return made
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{source} holds a damaged record ({error}); make it anew") from error

    def check(self) -> None:
        """Raises TypeError for parts of another type, as other programs may have written them."""
        mappings = [
            self.machine,
            *(part for e in self.entries for part in (e.settings, e.artefacts)),
        ]
        numbers = [n for e in self.entries for m in e.metrics.values() for n in asdict(m).values()]
        for part in mappings:
            if not isinstance(part, Mapping):
                raise TypeError(f"{part!r:.40} where keys and values are expected")
        for number in numbers:
            if not isinstance(number, int | float | None):
                raise TypeError(f"{number!r:.40} where a number is expected")


def read(path: Path) -> Record:
    """The record in a JSON file.

    Raises:
        ConfigError: the file is not there or holds none, as those of before there were records.
    """
    try:
        plain = json.loads(path.read_text())["record"]
        return Record.from_dict(plain, source=path)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path} holds no record of results: it is cut off or damaged ({error})"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} holds no record of results ({error!r})") from error


def metrics_of(values: Mapping[str, float | None]) -> dict[str, Metric]:
    """Metrics that were not repeated."""
    return {name: Metric(value=value) for name, value in values.items()}
