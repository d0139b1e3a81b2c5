"""`probe=controls`: does a way to drop tokens beat the plain ways to be as fast?

Whoever makes a network faster is asked whether larger patches, a smaller image, a smaller network
or fewer blocks would not have done. A method pays where none of them is both faster and better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from segsuite.bench.measurement import Settings, ready_to_run, speed_at
from segsuite.bench.trained_groups import Group, groups_of
from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Sides
from segsuite.core.results import Entry, Metric
from segsuite.core.seeding import seed_everything
from segsuite.core.targets import prefixes
from segsuite.engine.inference.candidates import from_checkpoint
from segsuite.engine.inference.framing import pair
from segsuite.exporting.errors import needed
from segsuite.measure.images import validation_images
from segsuite.measure.latency import Latency, Ratio, ratio
from segsuite.measure.machine import machine, shown


@dataclass(frozen=True)
class Difference:
    """How much better the method is than a control, in mIoU of 1.

    Attributes:
        mean: of the method less the control.
        low, high: 95 % interval by Welch's t-test over the seeds; None where one has a single seed.
    """

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{100 * self.mean:+.2f} points (a single seed: no interval)"
        return f"{100 * self.mean:+.2f} points ({100 * self.low:+.2f} to {100 * self.high:+.2f})"


@dataclass(frozen=True)
class Beside:
    """A method beside one of its controls.

    Attributes:
        control: its group of trainings.
        better: how much better the method is.
        faster: how many times as fast as the control it is, by batch size.
    """

    control: Group
    better: Difference
    faster: Mapping[int, Ratio]

    def beats(self, batch: int) -> bool:
        """Whether the control is both faster and better, by medians and means."""
        return self.faster[batch].median < 1 and self.better.mean < 0

    def doubt(self, batch: int) -> str:
        """What leaves a doubt of who wins, in brackets; nothing where nothing does."""
        ratio, better = self.faster[batch], self.better
        single = better.low is None or better.high is None
        if self.beats(batch):
            surely = (ratio.slower, not single and better.high < 0)
        elif ratio.faster or (not single and better.low > 0):
            return ""  # slower, or worse: one is enough
        else:
            surely = (ratio.median < 1, better.mean < 0)  # what might still be otherwise
        doubts = [
            name for name, sure in zip(("how fast", "how good"), surely, strict=True) if not sure
        ]
        are = "are" if len(doubts) > 1 else "is"
        seeds = ", by a single seed" if single and "how good" in doubts else ""
        return f" ({' and '.join(doubts)} {are} not beyond doubt{seeds})" if doubts else ""


@dataclass(frozen=True)
class Controls:
    """What came out."""

    method: Group
    beside: Sequence[Beside]
    latencies: Mapping[str, Mapping[int, Latency]]
    size: tuple[int, int]
    machine: Mapping[str, Any]
    way: Settings

    @property
    def batches(self) -> list[int]:
        """The batch sizes that were timed."""
        return list(self.latencies[self.method.name])

    def verdict(self, batch: int) -> str:
        """One sentence."""
        winners = [one for one in self.beside if one.beats(batch)]
        of = winners or self.beside
        told = ", ".join(f"`{one.control.name}`{one.doubt(batch)}" for one in of)
        if not winners:
            told = f"pays: none of {told} is"
        else:
            told = f"does not pay: {told} {'is' if len(winners) == 1 else 'are each'}"
        return f"at batch {batch} {self.method.name} {told} both faster and better"

    def sure(self, batch: int) -> bool:
        """Whether nothing leaves a doubt of the verdict: one control that surely wins is enough."""
        winners = [one for one in self.beside if one.beats(batch)]
        doubts = [bool(one.doubt(batch)) for one in winners or self.beside]
        return not (all(doubts) if winners else any(doubts))

    def show(self, console: Console, folder: Path) -> None:
        """Prints a table and the verdicts."""
        height, width = self.size
        where = f"{height}x{width}, {self.way.shown}, {shown(self.machine)}"
        title = f"{self.method.name} beside its controls, {where}"
        ms = [f"ms at batch {batch}" for batch in self.batches]
        table = Table(
            "network", "mIoU", "seeds", *ms, "method faster", "method better", title=title
        )
        of_control = {one.control.name: one for one in self.beside}
        for group in (self.method, *(one.control for one in self.beside)):
            one = of_control.get(group.name)
            times = [f"{1e3 * self.latencies[group.name][b].median:.1f}" for b in self.batches]
            mean = f"{100 * fmean(group.scores.values()):.2f}"
            faster = "" if one is None else ", ".join(map(_times, one.faster.values()))
            better = "" if one is None else str(one.better)
            table.add_row(group.name, mean, str(len(group.scores)), *times, faster, better)
        (intervals, *_) = [ratio.interval for one in self.beside for ratio in one.faster.values()]
        table.caption = (
            f"mIoU: of each training's own evaluation, at its sizes; times: of images of "
            f"{height}x{width} to labels, {self.way.rounds} rounds in turns, {intervals} of ratios"
        )
        console.print(table)
        for batch in self.batches:
            console.print(self.verdict(batch), markup=False, highlight=False, soft_wrap=True)

    def entries(self) -> list[Entry]:
        """One for each network and batch size."""
        of_control = {one.control.name: one for one in self.beside}
        entries = []
        for group in (self.method, *(one.control for one in self.beside)):
            scores = list(group.scores.values())
            for batch in self.batches:
                metrics = {
                    "miou": Metric(value=fmean(scores), low=min(scores), high=max(scores)),
                    "ms": self.latencies[group.name][batch].metric,
                }
                if (one := of_control.get(group.name)) is not None:
                    better = one.better
                    metrics["method_faster"] = one.faster[batch].metric
                    metrics["method_better"] = Metric(
                        value=better.mean, low=better.low, high=better.high
                    )
                settings = {"batch": batch, "size": list(self.size), "seeds": len(scores)}
                settings |= self.way.told
                files = {"checkpoint": group.checkpoint}
                entries.append(
                    Entry(name=group.name, metrics=metrics, settings=settings, artefacts=files)
                )
        return entries

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; with `parts` each seed's mIoU."""
        plain: dict[str, Any] = {
            "method": self.method.name,
            "size": list(self.size),
            "pays": {
                str(batch): not any(one.beats(batch) for one in self.beside)
                for batch in self.batches
            },
            "sure": {str(batch): self.sure(batch) for batch in self.batches},
            "verdicts": [self.verdict(batch) for batch in self.batches],
        }
        if parts:
            groups = (self.method, *(one.control for one in self.beside))
            plain["miou"] = {g.name: {str(s): v for s, v in g.scores.items()} for g in groups}
        return plain


class JudgeControls:
    """Puts trained networks beside each other: what they reached, and how long they take.

    Args:
        runs: folders of finished trainings, such as that of `sweep=controls`, equal in data,
            iterations, batch and crop.
        method: the experiment that is judged; all others are its controls.
        size: (height, width) of the images; None for the crops that they were trained on.
        images: how many validation images take turns.
        settings: device, batch sizes, rounds and precision.
        threads: threads of the CPU; None leaves torch's choice.
        allow: import prefixes of other people's networks.

    Raises:
        ConfigError: no runs or no method were named.
        MissingExtra: scipy is not installed.
    """

    def __init__(
        self,
        *,
        runs: Sequence[str],
        method: str | None,
        settings: Settings,
        size: Sides | None = None,
        images: Count = 4,
        threads: Count | None = None,
        allow: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if not runs or method is None:
            raise ConfigError(
                "probe=controls takes trainings and the one to judge: "
                "probe.runs=[logs/sweeps/controls] probe.method=cts_dtop_vitt_fast"
            )
        needed("scipy.stats", "search")
        self.runs, self.method, self.settings = list(runs), method, settings
        self.size = None if size is None else pair(size)
        self.images, self.threads, self.seed = images, threads, seed
        self.allow = prefixes(list(allow))

    def __call__(self, *, data_overrides: Sequence[str], tell: Any) -> Controls:
        """Measures.

        Raises:
            ConfigError: runs that do not fit together, or none of the method.
        """
        seed_everything(self.seed)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        groups = groups_of(self.runs)
        if len(groups) == 1:
            only = groups[0].name
            raise ConfigError(f"probe.runs holds {only} alone, and nothing to put beside it")
        method = _one(groups, self.method)
        controls = [group for group in groups if group is not method]
        size = self.size or pair(method.config["data"]["crop_size"])
        data = build(method.config["data"], path="data", allow=self.allow)
        images = validation_images(data, count=self.images, size=size).to(self.settings.device)
        ready = []
        for group in (method, *controls):
            candidate = from_checkpoint(group.checkpoint, size=size, allow=self.allow)
            candidate.network.to(self.settings.device)
            # By names that differ: folders of seeds may be called alike.
            ready.append(ready_to_run(replace(candidate, name=group.name), images[:1]))
        times: dict[str, dict[int, Latency]] = {group.name: {} for group in groups}
        for batch in self.settings.batch_sizes:
            tell(f"timing {len(ready)} networks in turns at batch {batch}")
            for name, speed in speed_at(batch, ready, images, self.settings).items():
                times[name][batch] = speed.labels
        beside = [
            Beside(
                control,
                difference(list(method.scores.values()), list(control.scores.values())),
                {b: ratio(times[control.name][b], own) for b, own in times[method.name].items()},
            )
            for control in controls
        ]
        return Controls(method, beside, times, size, machine(self.settings.device), self.settings)


def difference(method: Sequence[float], control: Sequence[float]) -> Difference:
    """Of the means, and how sure it is."""
    mean = fmean(method) - fmean(control)
    if min(len(method), len(control)) < 2:
        return Difference(mean)
    test = needed("scipy.stats", "search").ttest_ind(method, control, equal_var=False)
    interval = test.confidence_interval(0.95)
    return Difference(mean, float(interval.low), float(interval.high))


def _one(groups: Sequence[Group], method: str) -> Group:
    names = [group.name for group in groups]
    chosen = [group for group in groups if group.name == method]
    if not chosen:
        raise ConfigError(
            f"probe.method={method} is none of the trainings; type one of: {', '.join(names)}"
        )
    return chosen[0]


def _times(found: Ratio) -> str:
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"
