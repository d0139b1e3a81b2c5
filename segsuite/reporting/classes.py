"""How good trainings are class by class, and which classes they confuse."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

_MOST_CONFUSED = 32
"""Classes that a matrix shows; of more, those with the most pixels taken for something else."""


@dataclass(frozen=True)
class ClassScores:
    """`classes.csv`: IoU of each class, None of those that are absent."""

    names: tuple[str, ...]
    ious: tuple[float | None, ...]


@dataclass(frozen=True)
class Confusion:
    """Shares of a class's pixels (rows) that are taken for each class (columns), in thousandths.

    Attributes:
        names: of the classes shown.
        left_out: how many classes of the data are not shown.
    """

    names: tuple[str, ...]
    thousandths: tuple[tuple[int, ...], ...]
    left_out: int


def class_scores(folder: Path, *, tell: Callable[[str], None]) -> ClassScores | None:
    """Those of a run; None where it wrote none."""
    path = folder / "classes.csv"
    if not path.exists():
        return None
    try:
        head, *lines = _rows(path)
        rows = [(line[head.index("class")], line[head.index("iou")]) for line in lines]
        ious = tuple(_known(float(iou)) if iou else None for _, iou in rows)
    except (OSError, ValueError, IndexError) as error:
        tell(f"{path} is damaged ({error!r}), and its classes are left out")
        return None
    return ClassScores(tuple(name for name, _ in rows), ious)


def _rows(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.reader(handle))


def _known(iou: float) -> float | None:
    return iou if isfinite(iou) else None


def confusion(folder: Path, *, tell: Callable[[str], None]) -> Confusion | None:
    """That of a run; None where it wrote none, as with more than 200 classes."""
    path = folder / "confusion.csv"
    if not path.exists():
        return None
    try:
        (_, *names), *rows = _rows(path)
        counts = [[int(cell) for cell in row[1:]] for row in rows]
        if {len(counts), *map(len, counts)} != {len(names)}:
            raise ValueError("it is not square")
    except (OSError, ValueError) as error:
        tell(f"{path} is damaged ({error}), and is left out")
        return None
    wrong = [sum(row) - row[place] for place, row in enumerate(counts)]
    ranked = sorted(range(len(names)), key=lambda place: -wrong[place])
    shown = sorted(ranked[:_MOST_CONFUSED])
    return Confusion(
        tuple(names[place] for place in shown),
        tuple(
            tuple(round(1000 * counts[i][j] / max(1, sum(counts[i]))) for j in shown) for i in shown
        ),
        len(names) - len(shown),
    )
