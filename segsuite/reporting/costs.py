"""What benchmarks measured of trained networks, beside their accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segsuite.core.results import Entry, Metric, Record
from segsuite.reporting.training import Training, shape_of, sized_metrics

_MILLISECONDS = ("labels_ms", "ms")  # of a benchmark, of a choice
_OF_NETWORKS = ("method.", "method/", "method=", "method@", "sweep")
_OF_NONE = ("families", "seeds")  # sweeps that leave networks as they are
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

    By the path of the checkpoint. What was measured of an experiment with random weights counts for
    trainings of just that network, where none was measured of the checkpoint.
    """
    measured: dict[str, list[Measured]] = {}
    completed = list(trainings)
    newest_first = sorted(records.items(), key=lambda item: item[0].name, reverse=True)
    entries = [(e, r) for _, r in newest_first if r.kind in ("speed", "choose") for e in r.entries]
    for entry, record in sorted(entries, key=lambda known: "checkpoint" not in known[0].artefacts):
        found = _time(entry, record)
        for place in _places(entry, trainings):
            completed[place] = _completed(completed[place], entry)
            own = measured.setdefault(completed[place].name, [])
            if found is not None and found.where not in {one.where for one in own}:
                own.append(found)
    return completed, measured


def _places(entry: Entry, trainings: Sequence[Training]) -> list[int]:
    """Of which trainings an entry is: of that whose folder holds its checkpoint, or of those of its
    experiment whose network nobody changed."""
    checkpoint = entry.artefacts.get("checkpoint")
    if checkpoint is not None:
        above = set(Path(checkpoint).resolve().parents)
        return [place for place, training in enumerate(trainings) if training.folder in above]
    if entry.settings.get("trained"):
        return []
    alike = [training.experiment == entry.name and _is_plain(training) for training in trainings]
    return [place for place, same in enumerate(alike) if same]


def _is_plain(training: Training) -> bool:
    """Whether a training has its experiment's own network, as far as that was typed."""
    changed = [key for key in (*training.typed, *training.swept) if key.startswith(_OF_NETWORKS)]
    return all(key.endswith(".weights") or training.typed.get(key) in _OF_NONE for key in changed)


def _completed(training: Training, entry: Entry) -> Training:
    if entry.settings.get("batch", 1) != 1:
        return training
    known = {n: value for n, value in sized_metrics(entry).items() if n.startswith(_OTHERS)}
    return replace(training, metrics=known | dict(training.metrics))


def _time(entry: Entry, record: Record) -> Measured | None:
    for name in _MILLISECONDS:
        if name in entry.metrics:
            batch = entry.settings.get("batch", 1)
            told = [shape_of(entry), *([f"batch {batch}"] if batch != 1 else []), *_way(entry)]
            where = ", ".join([*told, machine_name(record)])
            return Measured(where=where, ms=entry.metrics[name])
    return None


def _way(entry: Entry) -> list[str]:
    """How a network was run, where it is not as PyTorch does in float32."""
    runtime, precision = entry.settings.get("runtime"), entry.settings.get("precision")
    return [
        *([str(runtime)] if runtime not in (None, "torch") else []),
        *([str(precision)] if precision not in (None, "fp32") else []),
        *(["compiled"] if entry.settings.get("compile") else []),
    ]


def machine_name(record: Record) -> str:
    """Processor or GPU, and how many threads, of a record."""
    machine = record.machine
    name = str(machine.get("gpu") or machine.get("processor") or "unknown machine")
    threads = machine.get("threads")
    return name if machine.get("gpu") or threads is None else f"{name}, threads={threads}"
