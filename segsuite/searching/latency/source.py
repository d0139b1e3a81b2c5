"""Where a table of latencies comes from: a file, or a measurement."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Count
from segsuite.searching.latency.correction import LEAST
from segsuite.searching.latency.measuring import Takes, built_table
from segsuite.searching.latency.runtimes import Runtime
from segsuite.searching.latency.table import LatencyTable

FILE = Path("latency.json")
"""In the run's folder."""


class TableSource:
    """Reads a table, or makes one.

    Args:
        runtime: where networks are timed.
        table: a file that was made before, on this machine; None makes one.
        networks: whole networks that the sum of parts is corrected by.
        rounds: how often each part and network is timed; the median counts.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        table: str | None = None,
        networks: Annotated[int, Between(LEAST)] = 30,
        rounds: Count = 20,
    ) -> None:
        self.runtime, self.networks, self.rounds = runtime, networks, rounds
        self.path = None if table is None else Path(table)

    def __call__(
        self, takes: Takes, folder: Path, *, tell: Callable[[str], None] = lambda text: None
    ) -> LatencyTable:
        """The table; one that is made is kept in the folder, where it is found again.

        Raises:
            ConfigError: the file is missing, damaged, or of another machine, runtime, size or
                search space.
        """
        path = self.path or folder / FILE
        if self.path is None and not path.exists():
            generator = np.random.default_rng(0)
            networks = [takes.random(generator) for _ in range(self.networks)]
            table = built_table(networks, takes, self.runtime, rounds=self.rounds, tell=tell)
            table.save(path)
            return table
        table = LatencyTable.load(path)
        table.check(self.runtime.facts, path)
        if lacking := table.lacks([piece.name for piece in takes.every()]):
            raise ConfigError(
                f"latency.table={path} lacks {len(lacking)} parts, such as `{lacking[0]}`: it was "
                "measured at another size, or for another search space or head. Make another, or "
                "leave latency.table out"
            )
        return table
