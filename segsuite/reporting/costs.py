"""What benchmarks measured of trained networks, beside their accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segsuite.core.results import Entry, Metric, Record
from segsuite.reporting.training import Training

_MILLISECONDS = ("labels_ms", "ms")  # of a benchmark, of a choice
_OTHERS = ("peak_megabytes", "gmacs", "parameters")


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
            for place, training in enumerate(completed):
                if not _is_of(entry, training):
                    continue
                completed[place] = _completed(training, entry)
                found = _time(entry, record)
                own = measured.setdefault(training.name, [])
                if found is not None and found.where not in {one.where for one in own}:
                    own.append(found)
    return completed, measured


def _is_of(entry: Entry, training: Training) -> bool:
    checkpoint = entry.artefacts.get("checkpoint")
    if checkpoint is not None:
        return Path(checkpoint).resolve().is_relative_to(training.folder)
    return not entry.settings.get("trained") and entry.name == training.experiment


def _completed(training: Training, entry: Entry) -> Training:
    known = {name: entry.metrics[name].value for name in _OTHERS if name in entry.metrics}
    return replace(training, metrics=known | dict(training.metrics))


def _time(entry: Entry, record: Record) -> Measured | None:
    for name in _MILLISECONDS:
        if name in entry.metrics:
            size, batch = entry.settings.get("size"), entry.settings.get("batch", 1)
            shape = "x".join(map(str, size)) if size else "size unknown"
            told = [shape, *([f"batch {batch}"] if batch != 1 else []), machine_name(record)]
            return Measured(where=", ".join(told), ms=entry.metrics[name])
    return None


def machine_name(record: Record) -> str:
    """Processor or GPU, and how many threads, of a record."""
    machine = record.machine
    name = str(machine.get("gpu") or machine.get("processor") or "unknown machine")
    threads = machine.get("threads")
    return name if machine.get("gpu") or threads is None else f"{name}, threads={threads}"
