"""An architecture as data: which operation, how wide and where the resolution halves, by branch.

HyCTAS, section 3.2 and figure 1: branches begin at 1/8 of the image, and end at 1/8, 1/16 or 1/32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.hints import Count
from segsuite.methods.hyctas.channels import FULL, Channels, Rounding

OPERATIONS = ("skip", "conv", "light", "light2", "attention")
"""In the order of the released files' numbers: 1 x 1, 3 x 3, light-weight convolution once and
twice, and memory-efficient self-attention."""

SCALES = (8, 16, 32)
"""What the image's sides are divided by, at most once halved at each `down`."""


@dataclass(frozen=True)
class Branch:
    """One path through the grid of layers and scales.

    Attributes:
        operations: name of each layer's operation.
        widths: twelfths of the full width that each layer but the last gives; the last gives those
            of the stem.
        downs: layers, from 0, that halve the resolution; the last one never does.
    """

    operations: tuple[str, ...]
    widths: tuple[int, ...]
    downs: tuple[int, ...] = ()

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return len(self.operations)

    @property
    def last(self) -> int:
        """Index in `SCALES` of where it ends."""
        return len(self.downs)

    def scale(self, layer: int) -> int:
        """What the image's sides are divided by where a layer reads."""
        return SCALES[sum(down < layer for down in self.downs)]

    def width(self, layer: int, *, ends: int) -> int:
        """Twelfths of the full width that a layer gives.

        Args:
            ends: those of the stem and of the last layer.
        """
        return self.widths[layer] if layer < self.depth - 1 else ends


class Genotype:
    """A network of one to three branches, which end at different scales.

    Branches share their first layers as long as these are alike: the same operation, width and
    scale (see `shared`).

    Args:
        branches: `operations`, `widths` and `downs` of each, see `Branch`; in the order of where
            they end.
        filters: the filter multiplier: a layer of full width has `filters` times its scale.
        ends: twelfths of the full width of the stem, of last layers and of heads.
        rounding: how widths become numbers of channels, see `Channels`.

    Raises:
        ConfigError: they are no network; which rule of the paper is broken is said.
    """

    def __init__(
        self,
        *,
        branches: Sequence[Mapping[str, Any]],
        filters: Count = 8,
        ends: Count = FULL,
        rounding: Rounding = "round",
    ) -> None:
        self.branches = tuple(_branch(number, plain) for number, plain in enumerate(branches))
        self.channels = Channels(filters, ends, rounding)
        _check(self.branches)

    @cached_property
    def shared(self) -> tuple[tuple[int, ...], ...]:
        """For each branch and layer, the first branch whose cell of that layer it is.

        Two branches share a cell while all layers up to it are alike, and never a last layer.
        """
        return tuple(
            tuple(
                next(first for first in range(number + 1) if self._alike(first, number, layer))
                for layer in range(branch.depth)
            )
            for number, branch in enumerate(self.branches)
        )

    def _alike(self, first: int, second: int, layer: int) -> bool:
        if first == second:
            return True
        one, other = self.branches[first], self.branches[second]
        if layer >= min(one.depth, other.depth) - 1:
            return False
        to = layer + 1
        return (
            one.operations[:to] == other.operations[:to]
            and one.widths[:to] == other.widths[:to]
            and [d for d in one.downs if d < to] == [d for d in other.downs if d < to]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as the constructor takes them."""
        return {
            **asdict(self.channels),
            "branches": [
                {name: list(value) for name, value in vars(branch).items()}
                for branch in self.branches
            ],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Genotype) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @property
    def _content(self) -> tuple[tuple[Branch, ...], Channels]:
        return self.branches, self.channels

    def __str__(self) -> str:
        """Each branch's operations, with `|` where the resolution halves."""
        return " / ".join(
            " ".join(
                operation + (" |" if layer in branch.downs else "")
                for layer, operation in enumerate(branch.operations)
            )
            for branch in self.branches
        )


def _branch(number: int, plain: Mapping[str, Any]) -> Branch:
    where = f"genotype.branches[{number}]"
    if not isinstance(plain, Mapping) or (lacking := {"operations", "widths"} - {*plain}):
        what = plain if not isinstance(plain, Mapping) else f"it lacks {', '.join(sorted(lacking))}"
        raise ConfigError(
            f"{where} is no branch ({what}); it is {{operations: [...], widths: [...], "
            "downs: [...]}"
        )
    if unknown := {*plain} - {"operations", "widths", "downs"}:
        raise ConfigError(
            f"{where}.{min(unknown)} is not known; a branch has operations, widths and downs"
        )
    operations = tuple(plain["operations"])
    for layer, name in enumerate(operations):
        if name not in OPERATIONS:
            raise ConfigError(
                f"{where}.operations[{layer}]={name} is none of {', '.join(OPERATIONS)}"
                f"{did_you_mean(str(name), OPERATIONS)}"
            )
    return Branch(operations, tuple(plain["widths"]), tuple(plain.get("downs") or ()))


def _check(branches: Sequence[Branch]) -> None:
    if not 1 <= len(branches) <= len(SCALES):
        raise ConfigError(
            f"genotype.branches has {len(branches)} branches; a network has 1 to {len(SCALES)}"
        )
    for number, branch in enumerate(branches):
        _check_alone(f"genotype.branches[{number}]", branch)
    lasts = [SCALES[branch.last] for branch in branches]
    if lasts != sorted(set(lasts)):
        raise ConfigError(
            f"genotype.branches end at 1/{', 1/'.join(map(str, lasts))}; each ends at a scale of "
            "its own (1/8, 1/16, 1/32), the finest first"
        )
    taken: dict[int, int] = {}
    for number, branch in enumerate(branches):
        for down in branch.downs:
            if (other := taken.setdefault(down, number)) != number:
                raise ConfigError(
                    f"genotype.branches[{other}] and [{number}] both halve the resolution at layer "
                    f"{down}; let one of them do so at another layer (section 3.2)"
                )


def _check_alone(where: str, branch: Branch) -> None:
    depth, downs = branch.depth, branch.downs
    if depth < 1 or len(branch.widths) != depth - 1:
        raise ConfigError(
            f"{where} has {depth} operations and {len(branch.widths)} widths; it needs an "
            "operation or more, and a width for each but the last"
        )
    for layer, width in enumerate(branch.widths):
        if type(width) is not int or not 1 <= width <= 2 * FULL:
            raise ConfigError(
                f"{where}.widths[{layer}]={width} is no width; widths are twelfths of the full "
                f"one, such as 4, 6, 8, 10 or 12"
            )
    if any(type(down) is not int for down in downs) or list(downs) != sorted(set(downs)):
        raise ConfigError(f"{where}.downs={list(downs)} are not layers in rising order")
    if len(downs) >= len(SCALES) or not all(0 <= down < depth - 1 for down in downs):
        raise ConfigError(
            f"{where}.downs={list(downs)} does not fit {depth} layers; at most "
            f"{len(SCALES) - 1} of the layers 0 to {depth - 2} halve the resolution"
        )
    for down in downs:
        if branch.operations[down] == "skip":
            raise ConfigError(
                f"{where}.operations[{down}]=skip stands where the resolution halves; a skip "
                "keeps it, so choose another operation there, or another layer in downs"
            )
