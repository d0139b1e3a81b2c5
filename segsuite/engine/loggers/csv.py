"""`metrics.csv`: the metrics of a run, a row for each step."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from segsuite.core.files import written_whole


class CsvLogger(Logger):
    """`metrics.csv` in the run's folder, a row per step; the file is whole at any time.

    A resumed run goes on in the same file: rows of steps that are done again are replaced.
    """

    def __init__(self, *, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._rows: dict[int, dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config stands in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        rows = self._loaded()
        step = 0 if step is None else int(step)
        # What an interrupted run had logged beyond this step has not happened now.
        for later in [known for known in rows if known > step]:
            del rows[later]
        row = rows.setdefault(step, {"step": step})
        row |= {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self.save()

    @rank_zero_only
    def save(self) -> None:
        if not self._rows:
            return
        columns = dict.fromkeys(name for row in self._rows.values() for name in row)
        with written_whole(self.path) as beside, open(beside, "w", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(self._rows.values())

    def _loaded(self) -> dict[int, dict[str, Any]]:
        if self._rows is None:
            self._rows = {int(row["step"]): row for row in rows_of(self.path)}
        return self._rows


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of such a file as text, without what is empty; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as handle:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(handle)]
