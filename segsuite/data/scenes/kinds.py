"""The classes of the scenes: 19 kinds of thing, and as many variants of them as are asked for.

A variant looks like its kind in another coat: two colours and a direction and width of stripes,
which depend on its number alone. The more classes, the more variants share a kind, drawn ever more
rarely: the long tail of data sets with more than a thousand classes.
"""

from dataclasses import dataclass
from functools import lru_cache

from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable, distinct_colors
from segsuite.data.scenes.dice import Dice

Color = tuple[int, int, int]

_CITYSCAPES = ClassTable.load("cityscapes19")
KINDS = _CITYSCAPES.names
THINGS = _CITYSCAPES.things
_VARIED = tuple(kind for kind in KINDS if kind not in ("road", "sky"))
_DIRECTIONS = ((1.0, 0.0), (0.0, 1.0), (0.75, 0.75), (0.75, -0.75))
_COAT_SEED = 0xC0A7
_COMMON = 8
"""Variants of a kind that count as common."""


@dataclass(frozen=True, slots=True)
class Coat:
    """How a class looks on one object: a colour, and for variants stripes of a second one.

    Attributes:
        direction: direction across the stripes, (right, down).
        bands: number of stripes per metre.
    """

    label: int
    color: Color
    second: Color | None = None
    direction: tuple[float, float] = (0.0, 0.0)
    bands: float = 0.0


@dataclass(frozen=True)
class Wardrobe:
    """Which classes there are, and the coats of their objects."""

    num_classes: int

    def coat(self, kind: str, dice: Dice, plain: Color, spread: int = 12) -> Coat:
        """The coat of a new object: near `plain` for the kind itself, its own for a variant."""
        label = KINDS.index(kind)
        if self.num_classes > len(KINDS) and kind in _VARIED:
            place = _VARIED.index(kind)
            variants = -(-(self.num_classes - len(KINDS) - place) // len(_VARIED))
            rank = dice.rank(max(variants, 0) + 1)
            if rank:
                return _variant(len(KINDS) + (rank - 1) * len(_VARIED) + place)
        return Coat(label, dice.color(plain, spread))


@lru_cache(maxsize=4096)
def _variant(label: int) -> Coat:
    dice = Dice(_COAT_SEED, label)
    first, second = (
        (dice.below(224) + 16, dice.below(224) + 16, dice.below(224) + 16) for _ in "ab"
    )
    return Coat(label, first, second, dice.of(_DIRECTIONS), 1.5 + dice.below(8))


def class_table(num_classes: int) -> ClassTable:
    """The table of scenes with that many classes; raw ids are the class numbers.

    Raises:
        ConfigError: fewer than the 19 kinds.
    """
    if num_classes < len(KINDS):
        raise ConfigError(
            f"data.num_classes={num_classes}, but scenes have at least {len(KINDS)} classes"
        )
    variants = num_classes - len(KINDS)
    kinds = [_VARIED[number % len(_VARIED)] for number in range(variants)]
    names = [f"{kind} {number // len(_VARIED) + 2}" for number, kind in enumerate(kinds)]
    colors = distinct_colors(num_classes)
    colors[: len(KINDS)] = _CITYSCAPES.colors
    return ClassTable(
        names=(*KINDS, *names),
        colors=colors,
        ids=tuple(range(num_classes)),
        ignore=num_classes if num_classes > 255 else 255,
        things=THINGS
        | {len(KINDS) + n for n, kind in enumerate(kinds) if KINDS.index(kind) in THINGS},
        groups=_groups(variants),
    )


def _groups(variants: int) -> tuple[str, ...]:
    """How often classes are drawn: kinds, their first variants, and the long tail."""
    if not variants:
        return ()
    ranks = (number // len(_VARIED) + 1 for number in range(variants))
    tail = ("common" if rank <= _COMMON else "rare" for rank in ranks)
    return (*("frequent" for _ in KINDS), *tail)
