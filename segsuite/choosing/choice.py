"""Which networks fit a budget, in which order they are worth training, and how to."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from segsuite.choosing.budget import COSTS, Budget
from segsuite.choosing.costs import Cost
from segsuite.choosing.known import Known
from segsuite.core.files import written_whole
from segsuite.core.results import Entry, Metric

PLOT, TABLE = "choice.png", "choice.md"
_FITS, _EXCEEDS = "#2f7d4f", "#b5b5b5"
_SHOWN = 3


@dataclass(frozen=True)
class Choice:
    """What fits a budget.

    Attributes:
        budget: the most that is allowed.
        size: (height, width) of the images.
        data: name of the data set.
        costs: of each experiment that could be measured.
        failed: why others could not.
        known: what is known of their accuracy.
        typed: overrides of the data set, for the commands.
        again: how many times as long some took that were measured once more, alone.
        device: where they ran.
        runtime: what ran them.
    """

    budget: Budget
    size: tuple[int, int]
    data: str
    costs: Mapping[str, Cost]
    failed: Mapping[str, str]
    known: Mapping[str, Known]
    typed: Sequence[str]
    again: Mapping[str, float] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    runtime: str = "torch"

    @property
    def fitting(self) -> list[str]:
        """Those that fit, the most accurate first, as far as that is known.

        First by this machine's runs on these data, then by papers' figures of them, then by those
        of other data; at last those of which nothing is known, the costliest first.
        """
        fits = [name for name, cost in self.costs.items() if not self.budget.exceeded(cost.values)]
        return sorted(fits, key=self._rank)

    @property
    def excluded(self) -> list[str]:
        """Those that cost too much, the cheapest first."""
        others = [n for n, c in self.costs.items() if self.budget.exceeded(c.values)]
        return sorted(others, key=lambda name: self.costs[name].values["ms"])

    def _rank(self, name: str) -> tuple[float, ...]:
        known = self.known.get(name)
        if known is None:
            return (3, -self.costs[name].values["gmacs"])
        # Figures of two data sets are no scale: each counts by the best of its own.
        return (known.tier, -known.share if known.tier == 2 else -known.miou)

    def narrow(self, name: str) -> bool:
        """Whether one run in ten took longer than the budget, though half did not."""
        limit = self.budget.ms
        return limit is not None and self.costs[name].values["ms"] <= limit < self.costs[name].high

    def command(self, name: str) -> str:
        """What trains a network on these data, by its own recipe."""
        words = [f"experiment={name}", *self.typed]
        return " ".join(["python -m segsuite.train", *map(_quoted, words)])

    def show(self, console: Console, folder: Path) -> None:
        """Prints what fits, what does not, and what to train; draws a plot."""
        height, width = self.size
        title = f"at most {self.budget}, images of {height}x{width}, run by {self.runtime}"
        table = Table(
            "network", *COSTS.values(), "mIoU that is known", "within the budget", title=title
        )
        for name in (*self.fitting, *self.excluded):
            cost, known = self.costs[name], self.known.get(name)
            table.add_row(
                name,
                *(f"{cost.values[unit]:.3g}" for unit in COSTS),
                "nothing" if known is None else str(known),
                self._verdict(name),
            )
        console.print(table)
        for name, why in self.failed.items():
            console.print(f"{name} was not measured: {why}", style="dim", markup=False)
        padded = {n: c.size for n, c in self.costs.items() if c.size != self.size}
        if padded:
            told = sorted({"{}x{}".format(*size) for size in padded.values()})
            console.print(f"measured at {', '.join(told)}, to which images are padded for them: ")
            console.print(f"  {', '.join(padded)}", soft_wrap=True, highlight=False)
        if self.again:
            console.print(self.agreement, soft_wrap=True, highlight=False)
        console.print(self.advice, soft_wrap=True, highlight=False, markup=False)
        self.save_plot(folder / PLOT)
        with written_whole(folder / TABLE) as written:
            written.write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """The table for a README: all networks by what they cost in time."""
        head = ["network", *COSTS.values(), "mIoU that is known"]
        lines = [head, ["---"] * len(head)]
        for name in sorted(self.costs, key=lambda name: self.costs[name].values["ms"]):
            values, known = self.costs[name].values, self.known.get(name)
            cells = [f"{values[unit]:.3g}" for unit in COSTS]
            lines.append([f"`{name}`", *cells, "" if known is None else str(known)])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _verdict(self, name: str) -> str:
        exceeded = self.budget.exceeded(self.costs[name].values)
        if exceeded:
            return "no: " + ", ".join(exceeded)
        if self.narrow(name):
            return f"fits, narrowly: one run in ten took {self.costs[name].high:.3g} ms"
        return "fits"

    @property
    def advice(self) -> str:
        """The three to train, or what comes nearest."""
        if not self.fitting:
            if not self.excluded:
                return "no network could be measured"
            nearest = min(self.excluded, key=self._excess)
            own = ", ".join(self.budget.exceeded(self.costs[nearest].values))
            return f"no network keeps to {self.budget}; nearest is {nearest}, with {own}"
        lines = [f"train these first (of {len(self.fitting)} that fit {self.budget}):"]
        for name in self.fitting[:_SHOWN]:
            known = self.known.get(name)
            why = "nothing is known of its accuracy" if known is None else f"mIoU {known}"
            lines += [f"  {name} ({why}):", f"    {self.command(name)}"]
        lines.append("crops, batches and iterations are those of each recipe")
        if all(k is None or k.tier == 2 for k in map(self.known.get, self.fitting[:_SHOWN])):
            lines.append(
                f"of these no accuracy on {self.data} is known, so that this order is a rough one"
            )
        return "\n".join(lines)

    @property
    def agreement(self) -> str:
        """How far measurements alone are from those in turns."""
        least, most = min(self.again.values()), max(self.again.values())
        return (
            f"measured again alone: {least:.2f} to {most:.2f} times as long; the shorter of both "
            "times counts"
        )

    def _excess(self, name: str) -> float:
        values = self.costs[name].values
        return max(values[key] / limit for key, limit in self.budget.limits.items())

    def records(self) -> list[Entry]:
        """One for each network that was measured."""
        fitting = set(self.fitting)
        return [
            Entry(
                name=name,
                metrics={
                    **{key: Metric(value=cost.values[key]) for key in COSTS if key != "ms"},
                    "ms": Metric(value=cost.values["ms"], low=cost.low, high=cost.high),
                },
                settings={
                    "size": list(cost.size),
                    "runtime": self.runtime,
                    "budget": str(self.budget),
                    "fits": name in fitting,
                    "known": str(self.known.get(name, "")),
                },
            )
            for name, cost in self.costs.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "budget": self.budget.limits,
            "fitting": self.fitting,
            "excluded": {n: self.budget.exceeded(self.costs[n].values) for n in self.excluded},
            "failed": dict(self.failed),
            "train": [self.command(name) for name in self.fitting[:_SHOWN]],
            "again": dict(self.again),
        }

    def save_plot(self, path: Path) -> None:
        """What each network costs of what is limited, and where the limits are."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = [*self.excluded[::-1], *self.fitting[::-1]]  # from below
        limits = self.budget.limits
        figure = Figure(figsize=(3 + 3.2 * len(limits), 1.4 + 0.24 * len(names)), dpi=110)
        FigureCanvasAgg(figure)  # no window system is needed
        colors = [_FITS if name in set(self.fitting) else _EXCEEDS for name in names]
        for place, (key, limit) in enumerate(limits.items()):
            axes = figure.add_subplot(1, len(limits), place + 1)
            axes.barh(names, [self.costs[name].values[key] for name in names], color=colors)
            axes.axvline(limit, color="crimson", lw=1.0)
            axes.set_xlim(0, 3 * limit)  # what costs far more only shows that it does
            axes.set_xlabel(f"{COSTS[key]}, at most {limit:g}")
            axes.tick_params(axis="y", labelsize=7, labelleft=place == 0)
        figure.tight_layout()
        with written_whole(path) as written:
            figure.savefig(written)


def _quoted(word: str) -> str:
    """For a shell, as the READMEs write it: lists of numbers stand without quotes."""
    plain = all(letter.isalnum() or letter in "_-./=,[]:+~" for letter in word)
    return word if plain else shlex.quote(word)
