"""Time and memory of losses alone, against the number of classes: one batch of pixels, in turns."""

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from segsuite.bench.probes import Tell
from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.hardware import Device, device_of, free_memory, high_water_mark
from segsuite.core.hints import Between, Count
from segsuite.core.results import Entry, Metric
from segsuite.core.targets import prefixes
from segsuite.engine.launch.entry_point import compose
from segsuite.measure import machine
from segsuite.measure.latency import Latency, Ratio, interleaved, ratio
from segsuite.measure.memory import peak_bytes
from segsuite.methods.essnet.losses.base import PixelLoss
from segsuite.methods.essnet.output import EssnetOutput
from segsuite.ops.torch_cross_entropy import NotInThisTorch


@dataclass(frozen=True)
class LossRow:
    """One loss at one number of classes; None where it would not fit this machine.

    Attributes:
        times: how many times as fast as the first loss; None where that one would not fit.
        peak: bytes held at most beyond features, classes and labels, the gradients included.
    """

    arm: str
    classes: int
    latency: Latency | None
    times: Ratio | None
    peak: int | None

    def entry(self) -> Entry:
        """For the record of results."""
        missing = Metric(value=None)
        metrics = {
            "ms": self.latency.metric if self.latency else missing,
            "times_as_fast": self.times.metric if self.times else missing,
            "peak_megabytes": Metric(value=None if self.peak is None else self.peak / 1e6),
        }
        return Entry(name=self.arm, metrics=metrics, settings={"classes": self.classes})

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "arm": self.arm,
            "classes": self.classes,
            "seconds": self.latency and self.latency.median,
            "times_as_fast_as_first": self.times and self.times.to_dict(),
            "peak_megabytes": None if self.peak is None else self.peak / 1e6,
        }


@dataclass(frozen=True)
class Arm:
    """One of the losses that are compared.

    Attributes:
        overrides: overrides of the config, such as ["method/loss=knn"].
        allow: import prefixes of other people's losses.
    """

    overrides: tuple[str, ...]
    allow: tuple[str, ...] = ()

    def loss(self) -> PixelLoss:
        """The pixels' alone, without regulariser."""
        cfg = compose("train", ["method=essnet", "method/regulariser=none", *self.overrides])
        loss = build(cfg.method.loss, path="method.loss", allow=self.allow)
        if not isinstance(loss, PixelLoss):
            raise ConfigError(
                f"probe=losses compares losses over pixels, those of method=essnet or a PixelLoss "
                f"of your own; method.loss is a {type(loss).__name__}"
            )
        return loss


@dataclass(frozen=True)
class LossCosts:
    """What was found, and about what."""

    rows: list[LossRow]
    pixels: int
    dim: int
    machine: dict[str, str | int]

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; the rows are the parts and the whole."""
        del parts
        return {
            "machine": self.machine,
            "pixels": self.pixels,
            "dim": self.dim,
            "rows": [row.to_dict() for row in self.rows],
        }

    def entries(self) -> list[Entry]:
        """One per loss and number of classes."""
        return [row.entry() for row in self.rows]

    def show(self, console: Console, folder: Path) -> None:
        """Prints the table."""
        del folder
        console.print(
            loss_table(
                self.rows,
                f"loss and gradients of {self.pixels:,} pixels, {self.dim} numbers each, "
                f"{machine.shown(self.machine)}",
            )
        )


def loss_table(rows: Sequence[LossRow], title: str) -> Table:
    """A row per loss and number of classes."""
    table = Table("classes", "loss", "ms", "times as fast as the first", "peak MB", title=title)
    for column in table.columns:
        column.justify = "right"
    for row in rows:
        if row.latency is None:
            table.add_row(f"{row.classes:,}", row.arm, "did not fit", "", "")
            continue
        times = "–"
        if row.times is not None:
            times = f"{row.times.median:.2f} ({row.times.low:.2f} to {row.times.high:.2f})"
        peak = "–" if row.peak is None else f"{row.peak / 1e6:.1f}"
        table.add_row(f"{row.classes:,}", row.arm, f"{1e3 * row.latency.median:.1f}", times, peak)
    return table


class CompareLosses:
    """`probe=losses`: loss and gradients of drawn pixels, in turns.

    Args:
        classes: numbers of classes that the losses are compared at.
        arms: the losses by name, each as overrides of `method=essnet`.
        side: side of the square of pixels.
        dim: numbers per pixel and class.
        overrides: overrides that all arms share.
        threads: threads of the CPU; None leaves torch's choice.
        allow: packages of other people that are trusted.
    """

    def __init__(
        self,
        *,
        classes: Sequence[Count],
        arms: Mapping[str, Sequence[str]],
        side: Count = 256,
        dim: Count = 12,
        overrides: Sequence[str] = (),
        device: Device = "auto",
        threads: Count | None = None,
        rounds: Count = 20,
        warm_up: Annotated[int, Between(0)] = 3,
        allow: Sequence[str] = (),
    ) -> None:
        trusted = prefixes(list(allow))
        self.arms = {name: Arm((*overrides, *own), trusted) for name, own in arms.items()}
        self.classes, self.side, self.dim, self.threads = classes, side, dim, threads
        self.device, self.rounds, self.warm_up = device_of(device), rounds, warm_up

    def __call__(self, *, data_overrides: Sequence[str], tell: Tell) -> LossCosts:
        """Measures; no data set is looked at.

        Raises:
            ConfigError: the installed torch has none of the losses.
        """
        del data_overrides
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        kind = (self.side, self.dim, self.device, self.rounds, self.warm_up)
        arms, rows = there(self.arms, tell), []
        for arm in arms.values():
            for classes in self.classes:
                arm.loss().check_classes(classes)
        for classes in self.classes:
            tell(f"{classes} classes")
            rows += _rows(arms, classes, *kind)
        return LossCosts(rows, self.side**2, self.dim, machine.machine(self.device))


def there(arms: Mapping[str, Arm], tell: Tell) -> dict[str, Arm]:
    """The arms whose loss the installed torch has; which it lacks is told, unless it lacks all."""
    found = {}
    for name, arm in arms.items():
        try:
            arm.loss()
        except NotInThisTorch as error:
            if len(arms) == 1:
                raise
            tell(f"without {name}: {error}")
        else:
            found[name] = arm
    return found


def _rows(
    arms: Mapping[str, Arm],
    classes: int,
    side: int,
    dim: int,
    device: torch.device,
    rounds: int,
    warm_up: int,
) -> list[LossRow]:
    """All losses at one number of classes."""
    losses = {name: arm.loss() for name, arm in arms.items()}
    fitting = {n: loss for n, loss in losses.items() if _fits(loss, classes, side, device)}
    output, labels = problem(classes, side, dim, device)
    runs = {
        name: [lambda _, loss=loss: _step(loss, output, labels)] for name, loss in fitting.items()
    }
    measured = interleaved(runs, lambda _: None, rounds=rounds, warm_up=warm_up, device=device)
    times = {name: latencies[0] for name, latencies in measured.items()}
    rows, first = [], next(iter(arms))
    for name, arm in arms.items():
        if name not in fitting:
            rows.append(LossRow(name, classes, None, None, None))
            continue
        peak = _peak(arm, classes, side, dim, device)
        rows.append(LossRow(name, classes, times[name], _ratio(times, first, name), peak))
    return rows


def _ratio(times: Mapping[str, Latency], first: str, name: str) -> Ratio | None:
    """To the first of all, not to the first that fits: that would be another figure in each row."""
    return ratio(times[first], times[name]) if first in times else None


def problem(classes: int, side: int, dim: int, device: torch.device) -> tuple[EssnetOutput, Tensor]:
    """Drawn features and classes of unit length, and labels (1, side, side), a few ignored."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(1, dim, side, side, generator=random)
    table = torch.randn(classes, dim, generator=random)
    labels = torch.randint(-1, classes, (1, side, side), generator=random)
    output = EssnetOutput(
        features=F.normalize(features, dim=1).to(device).requires_grad_(),
        table=F.normalize(table, dim=1).to(device).requires_grad_(),
        bias=None,
        scale=20.0,
        metric="sq",
    )
    return output, labels.to(device)


def _step(loss: PixelLoss, output: EssnetOutput, labels: Tensor) -> None:
    """Loss and gradients, which are thrown away."""
    output.features.grad = output.table.grad = None
    loss(output, labels)["ce"].backward()


def _fits(loss: PixelLoss, classes: int, side: int, device: torch.device) -> bool:
    """Asked before it is tried: a machine without memory ends other programs."""
    return loss.least_bytes(side**2, classes) < free_memory(device)


def _peak(arm: Arm, classes: int, side: int, dim: int, device: torch.device) -> int | None:
    """Bytes: a GPU's allocator knows; on a CPU the high-water mark of a process of its own."""
    if device.type == "cuda":
        output, labels = problem(classes, side, dim, device)
        loss = arm.loss()
        _step(loss, output, labels)
        output.features.grad = output.table.grad = None
        return peak_bytes(lambda: _step(loss, output, labels), device)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_own_peak, arm, classes, side, dim).result()


def _own_peak(arm: Arm, classes: int, side: int, dim: int) -> int | None:
    torch.set_num_threads(1)
    loss, cpu = arm.loss(), torch.device("cpu")
    _step(loss, *problem(classes, 4, dim, cpu))  # libraries and their buffers
    held = problem(classes, side, dim, cpu)
    with high_water_mark() as mark:
        _step(loss, *held)
    return mark.bytes
