"""One network in all runtimes side by side: from an image in memory to labels of every pixel.

The paper's table 5 (Turkmen and Heikkila, 2019): preprocessing and argmax included, 300 frames,
mean and variance.
"""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import pvariance
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Count, Sides
from segsuite.core.results import Entry, Metric
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size
from segsuite.engine.inference.candidates import NamedNetworks
from segsuite.engine.inference.framing import pair
from segsuite.exporting.images import calibration_images, other_images
from segsuite.exporting.labelling import Labelling, NotPossible, check_names, prepared
from segsuite.measure import machine
from segsuite.measure.latency import Latency, Ratio, interleaved, ratio
from segsuite.nn.segmenter import Segmenter


@dataclass(frozen=True)
class Row:
    """One runtime at one size.

    Attributes:
        times: how many times as fast as the first runtime.
        agreement: share of pixels labelled as by the first runtime, over the images.
    """

    runtime: str
    size: Size
    latency: Latency
    times: Ratio
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; the variance in square milliseconds."""
        return self.latency.to_dict() | {
            "runtime": self.runtime,
            "size": list(self.size),
            "variance_ms2": pvariance([1e3 * s for s in self.latency.seconds]),
            "times_as_fast": self.times.to_dict(),
            "agreement": self.agreement,
        }


@dataclass(frozen=True)
class Runtimes:
    """What was found, about which network.

    Attributes:
        not_possible: runtimes without a row.
        data: class name of the reader that gave the images, of the calibration too.
        load: how many programs wanted a core before and after; above the number of cores, figures
            are of a busy machine.
    """

    network: str
    trained: bool
    rows: list[Row]
    not_possible: list[NotPossible]
    machine: dict[str, str | int]
    load: tuple[float, float]
    data: str = ""

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; the rows are the parts and the whole."""
        del parts
        return {
            "network": self.network,
            "trained": self.trained,
            "machine": self.machine,
            "data": self.data,
            "load": list(self.load),
            "rows": [row.to_dict() for row in self.rows],
            "not_possible": [refusal.to_dict() for refusal in self.not_possible],
        }

    def entries(self) -> list[Entry]:
        """One per runtime and size."""
        return [
            Entry(
                name=row.runtime,
                settings={"network": self.network, "size": list(row.size)},
                metrics={
                    "labels_ms": row.latency.metric,
                    "times_as_fast": row.times.metric,
                    "agreement": Metric(value=row.agreement),
                },
            )
            for row in self.rows
        ]

    def show(self, console: Console, folder: Path) -> None:
        """Prints a table."""
        title = f"{self.network}, image to labels, {machine.shown(self.machine)}"
        table = Table(title=title, title_justify="left", caption_justify="left")
        for name in ("runtime", "size", "ms (p10–p90)", "variance ms²", "fps", "times", "same"):
            table.add_column(name, justify="left" if name == "runtime" else "right")
        for row in self.rows:
            latency, plain = row.latency, row.to_dict()
            table.add_row(
                row.runtime,
                f"{row.size[1]}x{row.size[0]}",
                f"{1e3 * latency.median:.1f} ({1e3 * latency.p10:.1f}–{1e3 * latency.p90:.1f})",
                f"{plain['variance_ms2']:.2f}",
                f"{latency.images_per_second:.1f}",
                f"{row.times.median:.2f} ({row.times.low:.2f}–{row.times.high:.2f})",
                f"{100 * row.agreement:.2f} %",
            )
        interval = self.rows[0].times.interval if self.rows else "95 % interval"
        table.caption = (
            f"in turns; times: median of the paired ratios to the first ({interval}); same: "
            f"labels as in the first, on images of {self.data}, which int8 is calibrated with too"
        )
        console.print(table)
        for refusal in self.not_possible:
            console.print(
                f"{refusal.runtime} at {refusal.size[1]}x{refusal.size[0]} is not possible: "
                f"{refusal.reason}",
                markup=False,
                highlight=False,
            )
        if not self.trained:
            console.print("random weights: how int8 answers says nothing of a trained network")
        cores = int(self.machine["cores"])
        if max(self.load) > cores:
            console.print(
                f"the machine was busy (load {max(self.load):.1f} on {cores} cores): the ratios "
                "tell more than the milliseconds"
            )
        console.print(f"written: {folder}/result.json", highlight=False, soft_wrap=True)


@dataclass(kw_only=True, eq=False)
class CompareRuntimes:
    """`probe=runtimes`: measures the runtimes that are named, on the CPU.

    A runtime that is not installed or cannot take the network is told of; the others go on.

    Attributes:
        networks: the networks that are named, exactly one.
        data: the data module whose training images int8 is calibrated with, and whose validation
            images are labelled.
        names: names of the runtimes, see `labelling.RUNTIMES`.
        sizes: image size of each turn, (height, width).
        frames, warm_up: how many images are timed, and how many go before them untimed.
        calibration, least: training images for int8, and how few of them will do.
        images: how many validation images are gone through.
        threads: threads of the CPU; None is one.
    """

    networks: NamedNetworks
    data: Any
    names: Sequence[str]
    sizes: Sequence[Sides]
    frames: Count = 300
    warm_up: Annotated[int, Between(0)] = 10
    calibration: Count = 32
    least: Count = 16
    images: Count = 4
    threads: Count | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.names)
        self.threads = self.threads or 1
        if not any(name.endswith("int8") for name in self.names):
            self.least = 1

    def __call__(self, *, data_overrides: Sequence[str], tell: Callable[[str], None]) -> Runtimes:
        """Measures.

        Raises:
            ConfigError: not exactly one network.
            ExportError: none of the runtimes can take the network.
        """
        before = os.getloadavg()[0]
        seed_everything(self.seed)
        torch.set_num_threads(self.threads)
        rows: list[Row] = []
        refused: list[NotPossible] = []
        for size in map(pair, self.sizes):
            candidates = self.networks.built(size, data_overrides=data_overrides)
            if len(candidates) != 1:
                raise ConfigError(
                    f"probe=runtimes compares one network, not {len(candidates)}; name one"
                )
            network = candidates[0].network
            if network is None:
                raise ConfigError(
                    f"probe=runtimes makes the files of a network itself: {candidates[0].path} is "
                    "one already; give the checkpoint that it was exported from, or compare it "
                    "with others by probe=speed"
                )
            timed, others = self._at(size, network.eval(), tell)
            rows += timed
            refused += others
        return Runtimes(
            network=candidates[0].name,
            trained=candidates[0].trained,
            rows=rows,
            not_possible=refused,
            machine=machine.machine(torch.device("cpu")),
            data=self.data.reader_name,
            load=(before, os.getloadavg()[0]),
        )

    def _at(
        self, size: Size, network: Segmenter, tell: Callable[[str], None]
    ) -> tuple[list[Row], list[NotPossible]]:
        """The rows of one size, and the runtimes that are not possible."""
        self.data.prepare_data()
        calibration = calibration_images(
            self.data, count=self.calibration, least=self.least, size=size
        )
        runs, others = prepared(self.names, network, size, calibration, self.threads, tell=tell)
        tell(f"timing {len(runs)} runtimes in turns, {self.frames} frames")
        images = other_images(self.data, count=self.images, size=size)
        timing = {"frames": self.frames, "warm_up": self.warm_up}
        return timed_side_by_side(runs, images, size=size, **timing), others


def timed_side_by_side(
    runs: dict[str, Labelling], images: Tensor, *, size: Size, frames: int, warm_up: int
) -> list[Row]:
    """A row for each way to label; all see the same images and take turns.

    Shapes: images (P, 3, *size) uint8
    """
    with torch.inference_mode():
        agreement = {name: [] for name in runs}
        for image in images.split(1):
            answers = {name: run(image) for name, run in runs.items()}
            first = next(iter(answers.values()))
            for name, labels in answers.items():
                agreement[name].append(float((labels == first).double().mean()))
        with _no_garbage_collection():
            taken = interleaved(
                {name: [run] for name, run in runs.items()},
                lambda turn: images[turn % len(images)][None],
                rounds=frames,
                warm_up=warm_up,
                device=torch.device("cpu"),
            )
    baseline = taken[next(iter(runs))][0]
    return [
        Row(
            runtime=name,
            size=size,
            latency=latency,
            times=ratio(baseline, latency),
            agreement=sum(agreement[name]) / len(images),
        )
        for name, (latency,) in taken.items()
    ]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """As `timeit` does: after compilers and exporters, a collection looks at millions of objects.

    It would take up to a second, out of whichever frame it comes upon.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
