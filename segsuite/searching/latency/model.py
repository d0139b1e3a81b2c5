"""The latency of candidates while a search goes on: predicted, and measured where that decides."""

from statistics import median
from typing import Any

from segsuite.searching.latency.measuring import Takes, given, in_turns, names_of
from segsuite.searching.latency.runtimes import Run, Runtime
from segsuite.searching.latency.table import Estimate, LatencyTable


class LatencyModel:
    """What a table says of architectures, and what it learns from those that are measured.

    Args:
        table: the table.
        takes: takes architectures apart.
        runtime: measures whole networks.
        rounds: how often a network is timed.
    """

    def __init__(
        self,
        table: LatencyTable,
        takes: Takes,
        runtime: Runtime,
        *,
        rounds: int,
    ) -> None:
        self.table, self.takes, self.runtime, self.rounds = table, takes, runtime, rounds
        self.measurements = 0
        self._reference: Run | None = None

    def estimate(self, architecture: Any) -> Estimate:
        """Milliseconds of one image."""
        seconds = self.table(names_of(self.takes, architecture))
        return Estimate(1e3 * seconds.seconds, 1e3 * seconds.band)

    def measured(self, architecture: Any) -> float:
        """Milliseconds of one image, as the machine was when the table was made.

        It takes turns with the table's reference: where that is slower than it was, so is the
        machine.
        """
        if self._reference is None:
            reference = self.takes.read(self.table.reference)
            (self._reference,) = self.runtime.ready([given(self.takes.whole(reference))])
        (run,) = self.runtime.ready([given(self.takes.whole(architecture))])
        fixed, own = in_turns([self._reference, run], rounds=self.rounds)
        self.measurements += 1
        ratio = median(o / f for o, f in zip(own, fixed, strict=True))
        return 1e3 * self.table.wholes[0].seconds * ratio

    def learn(self, architecture: Any, milliseconds: float) -> None:
        """Lets a measurement count from now on."""
        self.table = self.table.learnt(names_of(self.takes, architecture), milliseconds / 1e3)
