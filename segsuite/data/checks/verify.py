"""Verification before training: every file decodes, sizes agree, every id is in the class table.

What a file holds is remembered by its path, size and time of change, so that only the first start
pays. The id check is made from the remembered ids: a changed class table is noticed at once.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

from segsuite.core.errors import DataError, first_of
from segsuite.data.checks.occurrence import advice, counted
from segsuite.data.class_table import ClassTable
from segsuite.data.remembered import Memory
from segsuite.data.samples import Facts, Samples
from segsuite.data.segments import Segments

_AT_ONCE = 5000
"""Samples after which what was found is remembered, should the run be stopped."""

logger = logging.getLogger(__name__)


def verified(
    samples: Samples, classes: ClassTable, *, folder: Path | None = None, strict: bool = True
) -> tuple[Samples, list[Facts]]:
    """The samples, or those without a fault if not `strict`, and their facts.

    Drawn ones are trusted, and have no facts.

    Raises:
        DataError: naming the first faulty files and how many there are.
    """
    if not samples.files(0):
        return samples, []
    facts = inspected(samples, folder=folder)
    faults = {
        index: fault
        for index, fact in enumerate(facts)
        if (fault := fault_of(fact, samples.files(index), classes)) is not None
    }
    if not faults:
        return samples, facts
    shown = first_of(list(faults.values()), "; ")
    summary = f"{len(faults)} of {len(samples)} samples are faulty: {shown}"
    if strict or len(faults) == len(samples):
        masks = counted("", facts, len(samples))
        table = f"{advice(masks, classes)}. Else mend" if classes.unknown(masks.ids) else "Mend"
        raise DataError(
            f"{summary}. {table} or remove these files, or leave them out with data.strict=false"
        )
    logger.warning("%s. They are left out (data.strict=false)", summary)
    sound = [i for i in range(len(samples)) if i not in faults]
    return samples.only(sound), [facts[i] for i in sound]


def fault_of(facts: Facts, files: Iterable[Path], classes: ClassTable) -> str | None:
    """What is wrong with a sample, naming the file; None when nothing is."""
    if facts.fault is not None:
        return facts.fault
    unknown = classes.unknown(facts.counts)
    if not unknown:
        return None
    mask = list(files)[1]
    shown = first_of([str(raw) for raw in unknown], shown=5)
    return f"{mask} holds the id{'s' if len(unknown) > 1 else ''} {shown}, not in the class table"


def inspected(samples: Samples, *, folder: Path | None = None) -> list[Facts]:
    """The facts of every sample, in order, decoding only what is new or changed."""
    memory = Memory("verified", samples.key, form=2, folder=folder)
    known = memory.recall() or {}
    stamps = [_stamp(samples.files(index)) for index in range(len(samples))]
    facts: list[Facts | None] = [
        _recall(known.get(sample), stamp) for sample, stamp in zip(samples.ids, stamps, strict=True)
    ]
    new = [index for index, fact in enumerate(facts) if fact is None]
    if new:
        logger.info("verifying %d samples (remembered) ...", len(new))
    for start in range(0, len(new), _AT_ONCE):
        some = new[start : start + _AT_ONCE]
        with ThreadPoolExecutor() as threads:  # decoders release the interpreter lock
            for index, fact in zip(some, threads.map(samples.inspect, some), strict=True):
                facts[index] = fact
        memory.remember(_faultless(samples.ids, stamps, facts))
    return [fact for fact in facts if fact is not None]


def _stamp(files: Iterable[Path]) -> list[list[int]]:
    """Size and time of change of each file; those that cannot be asked after are never known."""
    stats = [path.stat() for path in files if path.exists()]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def _recall(entry: Any, stamp: list[list[int]]) -> Facts | None:
    if not entry or entry[0] != stamp or not stamp:
        return None
    image_size, label_size, counts, *more = entry[1]
    return Facts(
        tuple(image_size),
        tuple(label_size),
        _by_number(counts),
        segments=_segments(*more[0]) if more else None,
    )


def _segments(
    instances: dict[str, int], loose: list[int], mixed: list[int], *pixels: int
) -> Segments:
    return Segments(_by_number(instances), tuple(loose), tuple(mixed), *pixels)


def _by_number(counts: dict[str, int]) -> dict[int, int]:
    return {int(number): count for number, count in counts.items()}


def _faultless(
    ids: Iterable[str], stamps: list[list[list[int]]], facts: list[Facts | None]
) -> dict[str, Any]:
    """What is worth remembering; a fault may have been a passing one."""
    return {
        sample: [stamp, _plain(fact)]
        for sample, stamp, fact in zip(ids, stamps, facts, strict=True)
        if fact is not None and fact.fault is None
    }


def _plain(fact: Facts) -> list[Any]:
    """Without segments as before there were any, so that what was seen then is still known."""
    seen = [fact.image_size, fact.label_size, fact.counts]
    return seen if fact.segments is None else [*seen, astuple(fact.segments)]
