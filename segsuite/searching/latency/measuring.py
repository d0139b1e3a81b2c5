"""Parts and networks timed in turns, beside one network that shows how the machine goes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from segsuite.measure.dispatch import OperationWatch
from segsuite.nn.folding import for_inference
from segsuite.searching.latency.runtimes import Run, Runtime
from segsuite.searching.latency.table import LatencyTable, Part, Whole

Taken = dict[str, tuple[float, float]]
"""Seconds of each part by its name, and of the reference beside it."""

GROUP = 20
"""Parts between two looks at the reference."""


class Piece(Protocol):
    """A part, such as `methods.hyctas.pieces.Piece`."""

    name: str
    make: Callable[[], nn.Module]

    def inputs(self) -> tuple[Tensor, ...]:
        """What it pieces."""


class Decomposition(Protocol):
    """Takes architectures apart, such as `methods.hyctas.pieces.Pieces`."""

    def of(self, architecture: Any) -> Sequence[Piece]:
        """Its parts."""

    def whole(self, architecture: Any) -> Piece:
        """Itself, from an image to labels."""

    def every(self) -> list[Piece]:
        """All parts that an architecture of the search space can have."""

    def random(self, generator: np.random.Generator) -> Any:
        """An architecture at random."""

    def read(self, plain: Mapping[str, Any]) -> Any:
        """An architecture from its plain form."""


def in_turns(runs: Sequence[Run], *, rounds: int, warm_up: int = 2) -> list[list[float]]:
    """Seconds of each run in each round: A B C, A B C, ..."""
    taken: list[list[float]] = [[] for _ in runs]
    for turn in range(-warm_up, rounds):
        for run, own in zip(runs, taken, strict=True):
            seconds = run()
            if turn >= 0:
                own.append(seconds)
    return taken


def seconds_of(pieces: Sequence[Piece], runtime: Runtime, *, rounds: int) -> list[float]:
    """The median of each, measured in turns; whatever befalls the machine befalls all alike."""
    runs = runtime.ready([given(piece) for piece in pieces])
    return [median(taken) for taken in in_turns(runs, rounds=rounds)]


def given(piece: Piece) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """What a runtime takes."""
    return piece.make().eval(), piece.inputs()


def measured_parts(
    pieces: Sequence[Piece],
    reference: Piece,
    runtime: Runtime,
    *,
    rounds: int,
    known: Mapping[str, tuple[float, float]] | None = None,
    keep: Callable[[Taken], None] = lambda taken: None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Part]:
    """Each part by its name.

    A reference takes turns with each group of parts: where it is slower than it mostly is, so were
    they.

    Args:
        known: what was measured before a kill.
        keep: called with all that was measured so far, after each group.
    """
    fixed = runtime.ready([given(reference)])
    taken: Taken = dict(known or {})
    left = [piece for piece in pieces if piece.name not in taken]
    for start in range(0, len(left), GROUP):
        group = left[start : start + GROUP]
        runs = [*fixed, *runtime.ready([given(piece) for piece in group])]
        first, *others = (median(own) for own in in_turns(runs, rounds=rounds))
        taken |= {p.name: (seconds, first) for p, seconds in zip(group, others, strict=True)}
        keep(taken)
        tell(f"{len(taken)} of {len(pieces)} parts measured")
    usual = median(reference for _, reference in taken.values())
    return {
        piece.name: Part(taken[piece.name][0] * usual / taken[piece.name][1], *counted(piece))
        for piece in pieces
    }


def counted(piece: Piece) -> tuple[int, int]:
    """How many operations a part runs, and the bytes of what these give; views are none."""
    inputs = piece.inputs()
    module = for_inference(piece.make(), lambda part: part(*inputs))
    kernels = moved = 0

    def seen(name: str, args: Any, kwargs: Any, result: Any) -> None:
        nonlocal kernels, moved
        if not isinstance(result, Tensor) or result._is_view():
            return
        kernels += 1
        moved += result.numel() * result.element_size()

    with torch.no_grad(), OperationWatch(seen):
        module(*inputs)
    return kernels, moved


def corrected_table(
    parts: Mapping[str, Part],
    networks: Sequence[Any],
    pieces: Decomposition,
    runtime: Runtime,
    *,
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
) -> LatencyTable:
    """A table of parts, corrected by whole networks, the first of which is the reference.

    Args:
        networks: architectures.
        rounds: how often each is timed; the median counts.
    """
    tell(f"measuring {len(networks)} whole networks in turns")
    seconds = seconds_of([pieces.whole(network) for network in networks], runtime, rounds=rounds)
    wholes = tuple(
        Whole(names_of(pieces, network), own)
        for network, own in zip(networks, seconds, strict=True)
    )
    about: Mapping[str, Any] = {**runtime.facts, "date": date.today().isoformat()}
    return LatencyTable(about, networks[0].to_dict(), parts, wholes)


def names_of(pieces: Decomposition, architecture: Any) -> tuple[str, ...]:
    """Of its parts."""
    return tuple(piece.name for piece in pieces.of(architecture))
