"""The latency of candidates while a search goes on: predicted, and measured where that decides."""

from statistics import median
from typing import Any

from segsuite.searching.latency.measuring import Decomposition, given, in_turns, names_of
from segsuite.searching.latency.runtimes import Given, Run, Runtime
from segsuite.searching.latency.table import Estimate, LatencyTable


class LatencyModel:
    """What a table says of architectures, and what it learns from those that are measured.

    Args:
        table: the table.
        pieces: takes architectures apart.
        runtime: measures whole networks.
        rounds: how often a network is timed.
    """

    def __init__(
        self,
        table: LatencyTable,
        pieces: Decomposition,
        runtime: Runtime,
        *,
        rounds: int,
    ) -> None:
        self.table, self.pieces, self.runtime, self.rounds = table, pieces, runtime, rounds
        self._reference: Run | None = None

    def estimate(self, architecture: Any) -> Estimate:
        """Milliseconds of one image."""
        seconds = self.table(names_of(self.pieces, architecture))
        return Estimate(1e3 * seconds.value, 1e3 * seconds.band)

    def measured(self, architecture: Any) -> float:
        """Milliseconds of one image, as the machine was when the table was made.

        It takes turns with the table's reference: where that is slower than it was, so is the
        machine.
        """
        return self.timed(given(self.pieces.whole(architecture)))

    def timed(self, module: Given) -> float:
        """Milliseconds of any module, beside the reference."""
        if self._reference is None:
            reference = self.pieces.read(self.table.reference)
            (self._reference,) = self.runtime.ready([given(self.pieces.whole(reference))])
        (run,) = self.runtime.ready([module])
        fixed, own = in_turns([self._reference, run], rounds=self.rounds)
        ratio = median(o / f for o, f in zip(own, fixed, strict=True))
        return 1e3 * self.table.wholes[0].seconds * ratio

    def learn(self, architecture: Any, milliseconds: float) -> None:
        """Lets a measurement count from now on."""
        self.table = self.table.learnt(names_of(self.pieces, architecture), milliseconds / 1e3)
