"""`probe=budgets`: one trained network at many numbers of tokens; which is fast and still good?

Sharing and fixed budgets have no weights of their own, so that one checkpoint runs at any number of
tokens, best where it was trained for a range of them (`method.pruning.elastic`).
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from segsuite.bench.measurement import Settings, autocast, ready_to_run, speed_at
from segsuite.core.errors import ConfigError
from segsuite.core.files import written_whole
from segsuite.core.hints import Between, Count, NotNegative, Positive, Sides
from segsuite.core.results import Entry, Metric
from segsuite.core.seeding import seed_everything
from segsuite.engine.accuracy import Accuracy, accuracies, scored_on
from segsuite.engine.inference.candidates import Candidate, NamedNetworks
from segsuite.engine.inference.framing import pair
from segsuite.measure.images import validation_images
from segsuite.measure.latency import ROUNDS, Latency
from segsuite.measure.machine import machine, shown
from segsuite.measure.operations import count
from segsuite.methods.segvit.network import SegVit

log = logging.getLogger(__name__)

PLOT = "budgets.png"


@dataclass(frozen=True)
class Setting:
    """How many tokens a network runs with.

    Attributes:
        windows: `method.sharing.windows`; None without sharing.
        large_windows: `method.sharing.large_windows`; None without sharing.
        budgets: `method.pruning.budgets`; None without static exits.
    """

    windows: float | None
    large_windows: float | None
    budgets: tuple[float, ...] | None

    def __str__(self) -> str:
        told = []
        if self.windows is not None:
            told.append(f"windows={self.windows:g}")
        if self.large_windows:
            told.append(f"large_windows={self.large_windows:g}")
        if self.budgets is not None:
            told.append(f"budgets=[{','.join(f'{budget:.6g}' for budget in self.budgets)}]")
        return " ".join(told) or "all tokens"

    def overrides(self, trained: "Setting", *, counts_tokens: bool = False) -> list[str]:
        """What to type for it over a checkpoint's config, such as in an export.

        Args:
            trained: the checkpoint's own.
            counts_tokens: whether it has `method.sharing.tokens`, which counts in place of windows.
        """
        typed = []
        if self.windows != trained.windows or self.large_windows != trained.large_windows:
            typed += ["method.sharing.tokens=null"] if counts_tokens else []
            typed.append(f"method.sharing.windows={self.windows}")
            if self.large_windows != trained.large_windows:
                typed.append(f"method.sharing.large_windows={self.large_windows}")
        if self.budgets is not None and self.budgets != trained.budgets:
            # With a point: 1 is a count, 1.0 all patches.
            listed = ",".join(str(round(float(budget), 6)) for budget in self.budgets)
            typed.append(f"method.pruning.budgets=[{listed}]")
        return typed


def at(network: SegVit, setting: Setting) -> SegVit:
    """A network that runs with other numbers of tokens; its weights are those of the network.

    Raises:
        ConfigError: numbers of windows that do not fit.
    """
    weights = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    made = copy.deepcopy(network, weights)  # which are taken as copied already
    if made.sharing is not None and setting.windows is not None:
        made.sharing.choose(setting.windows, setting.large_windows or 0)
        made.size_divisor = made.sharing.size_divisor
    if made.pruning is not None and setting.budgets is not None:
        made.pruning.budgets = setting.budgets
    return made


@dataclass(frozen=True)
class Row:
    """What a setting costs and reaches."""

    setting: Setting
    tokens: tuple[int, ...]
    gmacs: float
    latency: Latency
    accuracy: Accuracy


@dataclass(frozen=True)
class Budgets:
    """What came out.

    Attributes:
        trained: the setting that the checkpoint was trained for.
        within: how much less mIoU is allowed, of 1.
        way: how networks were run.
        counts_tokens: whether the checkpoint has `method.sharing.tokens`.
    """

    rows: Sequence[Row]
    trained: Setting
    within: float
    batch: int
    size: tuple[int, int]
    machine: Mapping[str, Any]
    way: Settings
    counts_tokens: bool = False

    @property
    def typed(self) -> list[str]:
        """What to type for the fastest; nothing where it is as it was trained."""
        return self.fastest.setting.overrides(self.trained, counts_tokens=self.counts_tokens)

    @property
    def fastest(self) -> Row:
        """Of those within the allowed loss of the best, the fastest."""
        best = max(row.accuracy.value or 0.0 for row in self.rows)
        good = [row for row in self.rows if (row.accuracy.value or 0.0) >= best - self.within]
        return min(good, key=lambda row: row.latency.median)

    @property
    def front(self) -> list[Row]:
        """Those that no other one beats in both, the fastest first."""
        kept: list[Row] = []
        for row in sorted(self.rows, key=lambda row: row.latency.median):
            if not kept or (row.accuracy.value or 0.0) > (kept[-1].accuracy.value or 0.0):
                kept.append(row)
        return kept

    def show(self, console: Console, folder: Path) -> None:
        """Prints a table and the fastest good one; draws the front."""
        height, width = self.size
        title = f"batch {self.batch}, {height}x{width}, {self.way.shown}, {shown(self.machine)}"
        table = Table("setting", "tokens", "GMACs", "ms", "mIoU", "", title=title)
        front = self.front
        for row in self.rows:
            said = ["on the front"] if row in front else []
            said += ["as trained"] if row.setting == self.trained else []
            numbers = (f"{row.gmacs:.2f}", f"{1e3 * row.latency.median:.1f}", str(row.accuracy))
            tokens = ", ".join(map(str, row.tokens))
            table.add_row(str(row.setting), tokens, *numbers, "; ".join(said))
        console.print(table)
        fastest = self.fastest
        for line in (
            f"mIoU {scored_on(fastest.accuracy, self.size)}; the training's own evaluation is of "
            "its own sizes",
            f"fastest within {100 * self.within:g} points of the best: {fastest.setting}, "
            f"{1e3 * fastest.latency.median:.1f} ms, mIoU {fastest.accuracy}; "
            + (f"type {' '.join(self.typed)}" if self.typed else "as it was trained"),
        ):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if self.way.rounds < ROUNDS:
            few = f"{self.way.rounds} rounds are too few to tell times apart; type rounds=20"
            console.print(few, markup=False, highlight=False, soft_wrap=True)
        self.save_plot(folder / PLOT)

    def save_plot(self, path: Path) -> None:
        """mIoU against milliseconds, the front as a line."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), dpi=110)
        FigureCanvasAgg(figure)  # no window system is needed
        axes = figure.add_subplot()
        for rows, kind in ((self.rows, "o"), (self.front, "-")):
            times = [1e3 * row.latency.median for row in rows]
            axes.plot(times, [100 * (row.accuracy.value or 0.0) for row in rows], kind)
        for row in self.front:
            where = (1e3 * row.latency.median, 100 * (row.accuracy.value or 0.0))
            axes.annotate(str(row.setting), where, fontsize=7)
        axes.set_xlabel(f"ms at batch {self.batch}")
        axes.set_ylabel("mIoU, %")
        figure.tight_layout()
        with written_whole(path) as written:
            figure.savefig(written)

    def entries(self) -> list[Entry]:
        """One for each setting."""
        return [
            Entry(
                name=str(row.setting),
                metrics={
                    "miou": Metric(value=row.accuracy.value),
                    "ms": row.latency.metric,
                    "gmacs": Metric(value=row.gmacs),
                },
                settings={
                    "batch": self.batch,
                    "size": list(self.size),
                    "tokens": list(row.tokens),
                    "trained": row.setting == self.trained,
                    **self.way.told,
                },
            )
            for row in self.rows
        ]

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types."""
        plain: dict[str, Any] = {
            "fastest": {
                "setting": str(self.fastest.setting),
                "overrides": self.typed,
                "ms": 1e3 * self.fastest.latency.median,
                "miou": self.fastest.accuracy.value,
            },
            "front": [str(row.setting) for row in self.front],
        }
        if parts:
            plain["each"] = [
                {
                    "setting": str(row.setting),
                    "tokens": list(row.tokens),
                    "ms": 1e3 * row.latency.median,
                    "miou": row.accuracy.value,
                    "gmacs": row.gmacs,
                }
                for row in self.rows
            ]
        return plain


class TryBudgets:
    """Runs one checkpoint with many numbers of tokens.

    Args:
        networks: the checkpoint.
        data: the data module whose validation images are scored.
        size: (height, width) of the images.
        windows, large_windows: what `method.sharing.windows` and `.large_windows` are set to, in
            all pairs; None for what the checkpoint has.
        budgets: what its budgets are multiplied by.
        within: how many points of mIoU the fastest may have less than the best.
        images: how many images take turns in timing.
        scored_images: how many are scored; None for all.
        settings: device, batch size, rounds and precision.
        threads: threads of the CPU; None leaves torch's choice.
    """

    def __init__(
        self,
        *,
        networks: NamedNetworks,
        data: Any,
        size: Sides,
        settings: Settings,
        windows: Sequence[NotNegative] | None = None,
        large_windows: Sequence[NotNegative] | None = None,
        budgets: Sequence[Positive] = (0.5, 0.75, 1.0, 1.25, 1.5),
        within: NotNegative = 0.5,
        images: Count = 4,
        scored_images: Annotated[int, Between(1)] | None = 100,
        threads: Count | None = None,
        seed: int = 0,
    ) -> None:
        self.networks, self.data, self.size = networks, data, pair(size)
        self.windows, self.large_windows, self.budgets = windows, large_windows, list(budgets)
        self.within, self.images, self.scored_images = within / 100, images, scored_images
        self.settings, self.threads, self.seed = settings, threads, seed
        if len(settings.batch_sizes) != 1:
            raise ConfigError(
                f"probe.settings.batch_sizes={list(settings.batch_sizes)}: one front is of one "
                "batch; type probe.settings.batch_sizes=[1]"
            )

    def __call__(self, *, data_overrides: Sequence[str], tell: Any) -> Budgets:
        """Measures.

        Raises:
            ConfigError: no data or no single checkpoint of a SegViT that can have other numbers of
                tokens, or numbers that do not fit.
        """
        seed_everything(self.seed)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        candidate = _checkpoint(self.networks, self.size, data_overrides)
        network = candidate.network
        assert isinstance(network, SegVit)
        network.check_static()
        trained, settings = self._grid(network)
        device = self.settings.device
        network.to(device)
        images = validation_images(self.data, count=self.images, size=self.size).to(device)
        ready = ready_to_run(candidate, images[:1])
        tried = [
            replace(ready, name=str(setting), network=at(ready.network, setting))
            for setting in settings
        ]
        counted = [_counted(one, images[:1]) for one in tried]
        places = _different(settings, [tokens for tokens, _ in counted], trained)
        if same := [str(one) for place, one in enumerate(settings) if place not in places]:
            log.warning("left out, since as many tokens stay with others: %s", ", ".join(same))
        settings, tried, counted = ([of[p] for p in places] for of in (settings, tried, counted))
        kind = {
            "size": self.size,
            "images": self.scored_images,
            "precision": autocast(self.settings),
        }
        scores, notes = accuracies(tried, self.data, tell=tell, **kind)
        if notes:
            raise ConfigError(notes[0])
        batch = self.settings.batch_sizes[0]
        tell(f"timing {len(tried)} settings in turns at batch {batch}")
        speeds = speed_at(batch, tried, images, self.settings)
        rows = [
            Row(setting, *counts, speeds[one.name].labels, scores[one.name])
            for setting, one, counts in zip(settings, tried, counted, strict=True)
        ]
        counted_tokens = network.sharing is not None and network.sharing.tokens is not None
        about = (trained, self.within, batch, self.size, machine(device), self.settings)
        return Budgets(rows, *about, counts_tokens=counted_tokens)

    def _grid(self, network: SegVit) -> tuple[Setting, list[Setting]]:
        sharing, pruning = network.sharing, network.pruning
        shared = [(None, None)]
        if sharing is not None:
            small = self.windows or [sharing.windows]
            large = self.large_windows or [sharing.large_windows]
            shared = [(one, other) for one in small for other in large]
        elif self.windows or self.large_windows:
            raise ConfigError(
                "probe.windows: the checkpoint shares no tokens; train it with "
                "method/sharing=deviation"
            )
        exits: list[tuple[float, ...] | None] = [None]
        own = None
        if pruning is not None:
            own = tuple(
                float(b) if isinstance(b, float) else b / pruning.patches for b in pruning.budgets
            )
            exits = [tuple(min(b * scale, 1.0) for b in own) for scale in self.budgets]
            exits = list(dict.fromkeys(exits))
        given = (None, None) if sharing is None else (sharing.windows, sharing.large_windows)
        trained = Setting(*given, own)
        return trained, [Setting(*one, other) for one in shared for other in exits]


def _checkpoint(networks: NamedNetworks, size: Any, data_overrides: Sequence[str]) -> Candidate:
    if len(networks.checkpoints) != 1 or networks.experiments or not data_overrides:
        raise ConfigError(
            "probe=budgets takes one checkpoint and data to score it on: "
            "checkpoints=[FILE] data=camvid data.root=FOLDER"
        )
    (candidate,) = networks.built(size, data_overrides=data_overrides)
    network = candidate.network
    if not isinstance(network, SegVit) or (network.sharing is None and network.pruning is None):
        raise ConfigError(
            f"{candidate.name} neither shares nor prunes tokens, so that there is nothing to vary; "
            "give a checkpoint of cts_dtop_vitt_fast or its kin"
        )
    return candidate


def _different(
    settings: Sequence[Setting], tokens: Sequence[tuple[int, ...]], trained: Setting
) -> list[int]:
    """The places of the settings without those that make a network of another one once more.

    Budgets above what sharing leaves all keep all of it. Of equal ones that of training stays.
    """
    first: dict[Any, int] = {}
    for place in sorted(range(len(settings)), key=lambda place: settings[place] != trained):
        one = settings[place]
        first.setdefault((one.windows, one.large_windows, tokens[place]), place)
    return sorted(first.values())


def _counted(candidate: Candidate, images: Tensor) -> tuple[tuple[int, ...], float]:
    """Tokens at each stage, and multiply-adds of an image, with the policy."""
    found = count(candidate.network, images)
    trace = found.prediction.trace
    return tuple(trace.counts()[0].tolist()), found.everything.gmacs
