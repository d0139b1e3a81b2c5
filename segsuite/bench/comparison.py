"""A whole comparison of networks: how it is made, and how it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console

from segsuite.bench import plots, report, tables
from segsuite.bench.measurement import Measurement, Settings, autocast, measure
from segsuite.bench.probes import Tell
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Count, Sides
from segsuite.core.results import Entry
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size
from segsuite.engine.accuracy import accuracies
from segsuite.engine.inference.candidates import NamedNetworks
from segsuite.engine.inference.exported import is_exported
from segsuite.engine.inference.framing import pair
from segsuite.measure import machine
from segsuite.measure.images import validation_images


@dataclass(frozen=True)
class Comparison:
    """What was measured, on what, and how.

    Attributes:
        data: class name of the reader that gave the images.
        unscored: a sentence for each trained network whose mIoU is not known, saying why.
    """

    measured: list[Measurement]
    settings: Settings
    size: Size
    images: int
    data: str
    machine: dict[str, str | int]
    unscored: Sequence[str] = ()

    @property
    def circumstances(self) -> str:
        """One phrase that belongs beside every figure."""
        kind = self.settings.shown
        return (
            f"{self.size[0]}x{self.size[1]}, {kind}, {self.images} images ({self.data}), "
            f"{machine.shown(self.machine)}"
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know to not misread the figures."""
        return [*report.notes(self.measured), *self.unscored]

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; `parts` includes the breakdown."""
        return {
            "machine": self.machine,
            "size": list(self.size),
            "images": {"count": self.images, "data": self.data},
            "precision": self.settings.precision,
            "compiled": self.settings.compile,
            "rounds": self.settings.rounds,
            "baseline": self.measured[0].name,
            "networks": {
                measurement.name: report.to_dict(measurement, parts=parts)
                for measurement in self.measured
            },
            "verdicts": report.verdicts(self.measured),
            "notes": self.notes,
        }

    def entries(self) -> list[Entry]:
        """One per network and batch size."""
        way = self.settings.told
        return [
            report.entry(measurement, batch, size=self.size, **way)
            for measurement in self.measured
            for batch in measurement.speed
        ]

    def show(self, console: Console, folder: Path) -> None:
        """Prints the tables and the verdicts, and writes breakdown.png."""
        measured, where = self.measured, self.circumstances
        networks = [measurement for measurement in measured if not measurement.is_file]
        if networks:
            console.print(tables.cost_table(networks, f"one image of {where}"))
        console.print(tables.speed_table(measured, f"speed, {where}"))
        if networks:
            console.print(tables.parts_table(networks))
        papers = tables.paper_table(networks)
        if papers is not None:
            console.print(papers)
        for line in (*report.verdicts(measured), *self.notes):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        written = f"{folder}/result.json"
        if networks:
            plots.save_breakdown(networks, folder / "breakdown.png", title=f"batch 1, {where}")
            written = f"{folder}/breakdown.png, result.json"
        console.print(f"written: {written}", highlight=False, soft_wrap=True)


class CompareNetworks:
    """`probe=speed`: operations, tokens, time and memory of networks that take turns.

    Args:
        data: the data module whose validation images are gone through.
        size: (height, width) that images are resized to, and networks built for.
        images: how many images are gone through; operations and tokens are means over them, and
            timing goes through them in turns.
        scored_images: images of the validation split that the mIoU of checkpoints is measured on;
            None for all of them.
        threads: threads of the CPU; None leaves torch's choice.
    """

    def __init__(
        self,
        *,
        networks: NamedNetworks,
        data: Any,
        size: Sides,
        images: Count,
        settings: Settings,
        scored_images: Annotated[int, Between(0)] | None = 100,
        threads: Count | None = None,
        seed: int = 0,
    ) -> None:
        self.networks, self.data, self.size = networks, data, pair(size)
        self.images, self.scored_images, self.settings = images, scored_images, settings
        self.threads, self.seed = threads, seed

    def __call__(self, *, data_overrides: Sequence[str], tell: Tell) -> Comparison:
        """Builds the networks and measures them.

        Raises:
            ConfigError: settings that do not fit; found before anything is measured.
        """
        settings, size, data = self.settings, self.size, self.data
        _check_device(self.networks.checkpoints, settings.device)
        seed_everything(self.seed)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        candidates = self.networks.built(size, data_overrides=data_overrides)
        images = validation_images(data, count=self.images, size=size)
        for candidate in candidates:
            if candidate.network is not None:
                candidate.network.to(settings.device)
        scores, unscored = {}, []
        if data_overrides and self.scored_images != 0:
            kind = {"size": size, "images": self.scored_images, "precision": autocast(settings)}
            scores, unscored = accuracies(candidates, data, tell=tell, **kind)
        measured = measure(candidates, images.to(settings.device), settings, tell=tell)
        return Comparison(
            measured=[replace(each, accuracy=scores.get(each.name)) for each in measured],
            unscored=unscored,
            settings=settings,
            size=size,
            images=self.images,
            data=data.reader_name,
            machine=machine.machine(settings.device),
        )


def _check_device(paths: Sequence[str], device: torch.device) -> None:
    """Raises ConfigError for exported files on a GPU: their time would compare nothing there."""
    files = [path for path in paths if is_exported(path)]
    if files and device.type != "cpu":
        raise ConfigError(
            f"{', '.join(files)}: exported files are run on the CPU here, and the networks on "
            f"{device}; type device=cpu, or leave them out"
        )
