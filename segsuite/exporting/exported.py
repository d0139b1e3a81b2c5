"""What an export has written, and how far each file is from the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from segsuite.core.results import Entry, metrics_of
from segsuite.core.sizes import Size
from segsuite.engine.accuracy import Accuracy, scored_on
from segsuite.exporting.parity import Parity


@dataclass(frozen=True)
class Written:
    """One file.

    Attributes:
        beside: what is known of the network, where the file itself cannot carry it.
        accuracy: mIoU on the validation split; None where it was not measured.
    """

    format: str
    path: Path
    beside: Path | None
    parity: Parity
    accuracy: Accuracy | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types; megabytes of 10^6."""
        return {
            "path": str(self.path.resolve()),
            "description": None if self.beside is None else str(self.beside.resolve()),
            "megabytes": self.path.stat().st_size / 1e6,
            "parity": self.parity.to_dict(),
            **_score(self.accuracy),
        }


@dataclass(frozen=True)
class Exported:
    """All files of one network.

    Attributes:
        accuracy: mIoU of the network itself, on the same images.
    """

    source: str
    trained: bool
    size: Size
    output: str
    files: list[Written]
    accuracy: Accuracy | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "source": self.source,
            "trained": self.trained,
            "size": list(self.size),
            "output": self.output,
            **_score(self.accuracy),
            "miou_of": self.accuracy and {"images": self.accuracy.images, "of": self.accuracy.of},
            "files": {file.format: file.to_dict() for file in self.files},
        }

    def entries(self) -> list[Entry]:
        """One per file."""
        entries = []
        settings = {"source": self.source, "size": list(self.size), "output": self.output}
        for file in self.files:
            plain = file.to_dict()
            numbers = {"megabytes": plain["megabytes"], "agreement": file.parity.agreement}
            if file.parity.instances is not None:
                numbers["equal_segments"] = file.parity.instances
            if file.accuracy is not None:
                numbers[f"val/{file.accuracy.metric}"] = file.accuracy.value
            metrics, made = metrics_of(numbers), {"file": plain["path"]}
            entries.append(
                Entry(name=file.format, metrics=metrics, settings=settings, artefacts=made)
            )
        return entries

    def show(self, console: Console) -> None:
        """Prints a row for each file."""
        height, width = self.size
        table = Table(
            title=f"{self.source}, {height}x{width}, {self.output}",
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("file", overflow="fold")
        scored = "mIoU" if self.accuracy is None else self.accuracy.title
        for column in ("MB", "largest difference", "equal labels", scored):
            table.add_column(column, justify="right")
        if self.accuracy is not None:
            table.add_row("(the network)", "", "", "", str(self.accuracy))
        for file in self.files:
            apart = file.parity.difference
            table.add_row(
                file.path.name,
                f"{file.path.stat().st_size / 1e6:.2f}",
                "–" if apart is None else f"{apart:.1e}",
                f"{100 * file.parity.agreement:.4f} %",
                str(file.accuracy or "–"),
            )
        if self.accuracy is not None:
            table.caption = f"{scored}: {scored_on(self.accuracy, self.size)}"
        console.print(table)
        for file in self.files:
            if file.parity.instances is not None:
                equal = f"{100 * file.parity.instances:.4f} % of the pixels in equal segments"
                console.print(f"{file.path.name} tells things apart: {equal}", highlight=False)
        folder = self.files[0].path.parent
        console.print(f"written to {folder}", highlight=False, soft_wrap=True)
        if not self.trained:
            console.print("random weights: what int8 answers says nothing of a trained network")


def _score(accuracy: Accuracy | None) -> dict[str, float | None]:
    return {"miou": None} if accuracy is None else {accuracy.metric: accuracy.value}
