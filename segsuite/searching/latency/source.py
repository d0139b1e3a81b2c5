"""Where a table of latencies comes from: a file, or a measurement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from segsuite.core.errors import ConfigError
from segsuite.core.files import write_json
from segsuite.core.hints import Between, Count
from segsuite.searching.latency.correction import LEAST
from segsuite.searching.latency.measuring import Decomposition, corrected_table, measured_parts
from segsuite.searching.latency.runtimes import Runtime
from segsuite.searching.latency.table import LatencyTable

FILE, PARTIAL = Path("latency.json"), Path("latency.partial.json")
"""In the run's folder: the table, and what was measured of it before it is whole."""


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
        self,
        pieces: Decomposition,
        folder: Path,
        *,
        tell: Callable[[str], None] = lambda text: None,
    ) -> LatencyTable:
        """The table; one that is made is kept in the folder, where it is found again.

        Raises:
            ConfigError: the file is missing, damaged, or of another machine, runtime, size or
                search space.
        """
        path = self.path or folder / FILE
        if self.path is None and not path.exists():
            generator = np.random.default_rng(0)
            networks = [pieces.random(generator) for _ in range(self.networks)]
            partial = folder / PARTIAL
            kind = {"rounds": self.rounds, "tell": tell}
            parts = measured_parts(
                pieces.every(),
                pieces.whole(networks[0]),
                self.runtime,
                known=self._measured_before(partial),
                keep=lambda taken: write_json(partial, {"about": self._about, "parts": taken}),
                **kind,
            )
            table = corrected_table(parts, networks, pieces, self.runtime, **kind)
            table.save(path)
            partial.unlink(missing_ok=True)
            return table
        table = LatencyTable.load(path)
        table.check(self.runtime.facts, path, typed=self.path is not None)
        if lacking := table.lacks([piece.name for piece in pieces.every()]):
            raise ConfigError(
                f"{path} lacks {len(lacking)} parts, such as `{lacking[0]}`: it was measured at "
                "another size, or for another search space, head or number of classes. Make "
                "another: python -m segsuite.benchmark probe=latency_table checkpoints=[SUPERNET] "
                "size=[HEIGHT,WIDTH]"
            )
        return table

    @property
    def _about(self) -> dict[str, Any]:
        return {**self.runtime.facts, "rounds": self.rounds}

    def _measured_before(self, path: Path) -> dict[str, tuple[float, float]]:
        """What a measurement that was killed left, if it was of the same kind."""
        try:
            plain = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        if plain.get("about") != json.loads(json.dumps(self._about)):
            return {}
        return {name: (own, reference) for name, (own, reference) in plain["parts"].items()}
