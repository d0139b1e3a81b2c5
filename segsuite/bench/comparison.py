"""A whole comparison as the door makes it: from its config to measurements, and how it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from segsuite.bench import machine, plots, report, tables
from segsuite.bench.accuracy import accuracies
from segsuite.bench.candidates import candidates
from segsuite.bench.measure import Measurement, Settings, autocast, measure
from segsuite.bench.pictures import pictures_of
from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size
from segsuite.core.targets import trusted
from segsuite.engine.framing import pair


@dataclass(frozen=True)
class Comparison:
    """What was measured, on what, and how.

    Attributes:
        data: class name of the reader that gave the pictures.
        unscored: of which trained networks no mIoU is known, and why.
    """

    measured: list[Measurement]
    settings: Settings
    size: Size
    pictures: int
    data: str
    machine: dict[str, str | int]
    unscored: Sequence[str] = ()

    @property
    def circumstances(self) -> str:
        """One phrase that belongs beside every figure."""
        kind = f"{self.settings.precision}{', compiled' if self.settings.compile else ''}"
        return (
            f"{self.size[0]}x{self.size[1]}, {kind}, {self.pictures} pictures ({self.data}), "
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
            "pictures": {"count": self.pictures, "data": self.data},
            "precision": self.settings.precision,
            "compiled": self.settings.compile,
            "rounds": self.settings.rounds,
            "baseline": self.measured[0].name,
            "networks": {its.name: report.to_dict(its, parts=parts) for its in self.measured},
            "verdicts": report.verdicts(self.measured),
            "notes": self.notes,
        }

    def show(self, console: Console, folder: Path) -> None:
        """Prints the tables and the verdicts, and writes breakdown.png."""
        measured, where = self.measured, self.circumstances
        console.print(tables.cost_table(measured, f"one picture of {where}"))
        console.print(tables.speed_table(measured, f"speed, {where}"))
        console.print(tables.parts_table(measured))
        papers = tables.paper_table(measured)
        if papers is not None:
            console.print(papers)
        for line in (*report.verdicts(measured), *self.notes):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        plots.save_breakdown(measured, folder / "breakdown.png", title=f"batch 1, {where}")
        console.print(
            f"written: {folder}/breakdown.png, result.json", highlight=False, soft_wrap=True
        )


def compare(
    cfg: DictConfig, *, data_overrides: Sequence[str] = (), tell: Callable[[str], None]
) -> Comparison:
    """Builds the networks that `conf/benchmark.yaml` names, and measures them.

    Args:
        data_overrides: what was typed about the data set, which experiments are then built for too.

    Raises:
        ConfigError: settings that do not fit; found before anything is measured.
    """
    settings, size = _settings(cfg), pair(cfg.size)
    seed_everything(cfg.seed)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    found = candidates(
        cfg.experiments,
        cfg.checkpoints,
        size=size,
        overrides=cfg.overrides,
        data_overrides=data_overrides,
        allow=trusted(cfg),
    )
    data = build(cfg.data, path="data", allow=trusted(cfg))
    data.prepare_data()
    data.setup("validate")
    images = pictures_of(data.val_dataloader(), count=cfg.pictures, size=size)
    for candidate in found:
        candidate.network.to(settings.device)
    scores, unscored = {}, []
    if data_overrides and cfg.accuracy.pictures != 0:
        kind = {"size": size, "pictures": cfg.accuracy.pictures, "precision": autocast(settings)}
        scores, unscored = accuracies(found, data, tell=tell, **kind)
    measured = measure(found, images.to(settings.device), settings, tell=tell)
    return Comparison(
        measured=[replace(its, accuracy=scores.get(its.name)) for its in measured],
        unscored=unscored,
        settings=settings,
        size=size,
        pictures=cfg.pictures,
        data=cfg.data.reader._target_.rpartition(".")[2],
        machine=machine.machine(settings.device),
    )


def device_of(cfg: DictConfig) -> torch.device:
    """Where to measure; raises ConfigError for a GPU that is not there."""
    available = torch.cuda.is_available()
    if cfg.device == "cuda" and not available:
        raise ConfigError("device=cuda, but torch finds no GPU here; type device=cpu")
    return torch.device("cuda" if available and cfg.device != "cpu" else "cpu")


def _settings(cfg: DictConfig) -> Settings:
    if not cfg.batch_sizes:
        raise ConfigError("batch_sizes=[] measures nothing; name one, such as batch_sizes=[1]")
    return Settings(
        device=device_of(cfg),
        batch_sizes=tuple(dict.fromkeys(cfg.batch_sizes)),
        rounds=cfg.rounds,
        warm_up=cfg.warm_up,
        precision=cfg.precision,
        compile=cfg.compile,
    )
