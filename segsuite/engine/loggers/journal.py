"""What a run has logged, row by row, kept for loggers that begin anew when it is resumed."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from segsuite.core.files import written_whole


class Journal:
    """A line of JSON per row. What was added is there even if the process is killed afterwards.

    Args:
        path: path of the file, which is made with the first row.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def add(self, step: int, **content: Any) -> None:
        """Appends a row: `content` is plain types."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as handle:
            handle.write(json.dumps({"step": step, **content}) + "\n")

    def go_on_at(self, step: int) -> list[dict[str, Any]]:
        """The rows up to `step`, in order; later ones have not happened now, and are removed."""
        rows = [row for row in self._rows() if row["step"] <= step]
        if self.path.exists():
            with written_whole(self.path) as beside:
                beside.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def _rows(self) -> Iterator[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            # The last one is cut where the process was killed, or the disk was full, at it.
            with suppress(ValueError):
                yield json.loads(line)
