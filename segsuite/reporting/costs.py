"""What benchmarks measured of trained networks, beside their accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segsuite.core.results import Entry, Metric, Record
from segsuite.reporting.training import Training, metrics_of, shape_of

_MILLISECONDS = ("labels_ms", "ms")  # of a benchmark, of a choice
_OTHERS = ("peak_megabytes", "gmacs", "parameters")  # what such a name begins with


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measurement of one network's time, in circumstances that make it comparable.

    Attributes:
        where: size, batch and machine, as a column is called by them.
        ms: milliseconds to labels.
    """

    where: str
    ms: Metric


def with_costs(
    trainings: Sequence[Training], records: Mapping[Path, Record]
) -> tuple[list[Training], dict[str, list[Measured]]]:
    """The trainings with operations and memory where they lacked them; and by the name of each
    training, the times that were measured of its checkpoints, the newest measurement first.

    By the path of the checkpoint. A time of random weights counts for an experiment's name, unless
    one was measured of its checkpoint in the same circumstances.
    """
    measured: dict[str, list[Measured]] = {}
    completed = list(trainings)
    newest_first = sorted(records.items(), key=lambda item: item[0].name, reverse=True)
    for _, record in newest_first:
        for entry in record.entries if record.kind in ("speed", "choose") else ():
            found = _time(entry, record)
            for place in _places(entry, trainings):
                completed[place] = _completed(completed[place], entry)
                own = measured.setdefault(completed[place].name, [])
                if found is not None and found.where not in {one.where for one in own}:
                    own.append(found)
    return completed, measured


def _places(entry: Entry, trainings: Sequence[Training]) -> list[int]:
    """Of which trainings an entry is: of that whose folder holds its checkpoint, or of all of its
    experiment."""
    checkpoint = entry.artefacts.get("checkpoint")
    if checkpoint is not None:
        above = set(Path(checkpoint).resolve().parents)
        return [place for place, training in enumerate(trainings) if training.folder in above]
    if entry.settings.get("trained"):
        return []
    return [n for n, training in enumerate(trainings) if training.experiment == entry.name]


def _completed(training: Training, entry: Entry) -> Training:
    if entry.settings.get("batch", 1) != 1:
        return training
    known = {n: value for n, value in metrics_of(entry).items() if n.startswith(_OTHERS)}
    return replace(training, metrics=known | dict(training.metrics))


def _time(entry: Entry, record: Record) -> Measured | None:
    for name in _MILLISECONDS:
        if name in entry.metrics:
            batch = entry.settings.get("batch", 1)
            shape = shape_of(entry) + (f", batch {batch}" if batch != 1 else "")
            return Measured(where=f"{shape}, {machine_name(record)}", ms=entry.metrics[name])
    return None


def machine_name(record: Record) -> str:
    """Processor or GPU, and how many threads, of a record."""
    machine = record.machine
    name = str(machine.get("gpu") or machine.get("processor") or "unknown machine")
    threads = machine.get("threads")
    return name if machine.get("gpu") or threads is None else f"{name}, threads={threads}"
