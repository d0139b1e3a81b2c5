"""One network in all runtimes side by side: from a picture in memory to labels of every pixel.

The paper's table 5 (Turkmen and Heikkila, 2019): preprocessing and argmax included, 300 frames,
mean and variance.
"""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import pvariance
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from segsuite.bench import machine
from segsuite.bench.candidates import candidates
from segsuite.bench.latency import Latency, Ratio, interleaved, ratio
from segsuite.core.build import build
from segsuite.core.contract import Segmenter, Size
from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.seeding import seed_everything
from segsuite.engine.framing import pair
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph
from segsuite.exporting.pictures import calibration_pictures, other_pictures
from segsuite.nn.deploy import deployed

Labelling = Callable[[Tensor], Tensor]
"""A picture (1, 3, H, W) uint8 to labels (1, H, W)."""


@dataclass(frozen=True)
class Row:
    """One runtime at one size.

    Attributes:
        times: how many times as fast as the first runtime.
        agreement: share of pixels labelled as by the first runtime, over the pictures.
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
        load: how many programs wanted a core before and after; above the number of cores, figures
            are of a busy machine.
    """

    network: str
    trained: bool
    rows: list[Row]
    machine: dict[str, str | int]
    load: tuple[float, float]

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; the rows are the parts and the whole."""
        del parts
        return {
            "network": self.network,
            "trained": self.trained,
            "machine": self.machine,
            "load": list(self.load),
            "rows": [row.to_dict() for row in self.rows],
        }

    def show(self, console: Console, folder: Path) -> None:
        """Prints a table."""
        title = f"{self.network}, picture to labels, {machine.shown(self.machine)}"
        table = Table(title=title, title_justify="left", caption_justify="left")
        for name in ("runtime", "size", "ms (p10–p90)", "variance ms²", "fps", "times", "same"):
            table.add_column(name, justify="left" if name == "runtime" else "right")
        for row in self.rows:
            its, found = row.latency, row.to_dict()
            table.add_row(
                row.runtime,
                f"{row.size[1]}x{row.size[0]}",
                f"{1e3 * its.median:.1f} ({1e3 * its.p10:.1f}–{1e3 * its.p90:.1f})",
                f"{found['variance_ms2']:.2f}",
                f"{its.images_per_second:.1f}",
                f"{row.times.median:.2f} ({row.times.low:.2f}–{row.times.high:.2f})",
                f"{100 * row.agreement:.2f} %",
            )
        table.caption = (
            "in turns; times: median of the paired ratios to the first (95 % interval); same: "
            "labels as in the first"
        )
        console.print(table)
        cores = int(self.machine["cores"])
        if max(self.load) > cores:
            console.print(
                f"the machine was busy (load {max(self.load):.1f} on {cores} cores): the ratios "
                "tell more than the milliseconds"
            )
        console.print(f"written: {folder}/result.json", highlight=False, soft_wrap=True)


def compare_runtimes(
    cfg: DictConfig, *, data_overrides: Sequence[str] = (), tell: Callable[[str], None]
) -> Runtimes:
    """Measures what `runtimes` in conf/benchmark.yaml names, on the CPU, in `threads` or one.

    Raises:
        ConfigError: not exactly one network, or a runtime that there is not.
        MissingExtra: a runtime is not installed.
    """
    asked, before = cfg.runtimes, os.getloadavg()[0]
    _check(asked.names)
    threads = cfg.threads or 1
    seed_everything(cfg.seed)
    torch.set_num_threads(threads)
    rows: list[Row] = []
    for size in map(pair, asked.sizes):
        found = candidates(
            cfg.experiments,
            cfg.checkpoints,
            size=size,
            overrides=[*data_overrides, *cfg.overrides],
            allow=tuple(cfg.allow),
        )
        if len(found) != 1:
            raise ConfigError(f"probe=runtimes compares one network, not {len(found)}; name one")
        data = build(cfg.data, path="data", allow=tuple(cfg.allow))
        data.prepare_data()
        calibration = calibration_pictures(
            data, count=asked.calibration, least=asked.least, size=size
        )
        runs = {}
        for name in asked.names:
            tell(f"preparing {name} at {size[1]}x{size[0]}")
            runs[name] = _RUNTIMES[name](found[0].network.eval(), size, calibration, threads)
        tell(f"timing {len(runs)} runtimes in turns, {asked.frames} frames")
        pictures = other_pictures(data, count=cfg.pictures, size=size)
        rows += timed_side_by_side(
            runs, pictures, size=size, frames=asked.frames, warm_up=asked.warm_up
        )
    return Runtimes(
        network=found[0].name,
        trained=found[0].trained,
        rows=rows,
        machine=machine.machine(torch.device("cpu")),
        load=(before, os.getloadavg()[0]),
    )


def timed_side_by_side(
    runs: dict[str, Labelling], pictures: Tensor, *, size: Size, frames: int, warm_up: int
) -> list[Row]:
    """A row for each way to label; all see the same pictures and take turns.

    Shapes: pictures (P, 3, *size) uint8
    """
    with torch.inference_mode():
        agreement = {name: [] for name in runs}
        for picture in pictures.split(1):
            found = {name: run(picture) for name, run in runs.items()}
            first = next(iter(found.values()))
            for name, labels in found.items():
                agreement[name].append(float((labels == first).double().mean()))
        taken = interleaved(
            {name: [run] for name, run in runs.items()},
            lambda turn: pictures[turn % len(pictures)][None],
            rounds=frames,
            warm_up=warm_up,
            device=torch.device("cpu"),
        )
    baseline = taken[next(iter(runs))][0]
    return [
        Row(
            runtime=name,
            size=size,
            latency=its,
            times=ratio(baseline, its),
            agreement=sum(agreement[name]) / len(pictures),
        )
        for name, (its,) in taken.items()
    ]


def _naive(network: Segmenter, size: Size, _: Tensor, __: int) -> Labelling:
    """As most would write it: scores of all pixels, then argmax, channels first throughout."""

    plain = _channels_first(network)
    return lambda picture: plain.predict(picture).scores(size).argmax(dim=1)


def _channels_first(network: Segmenter) -> Segmenter:
    """A copy whose parts get their maps in torch's usual layout, whatever the network prefers."""

    def usual(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in inputs)

    plain = copy.deepcopy(network)
    for part in plain.children():
        part.register_forward_pre_hook(usual)
    return plain


def _eager(network: Segmenter, size: Size, _: Tensor, __: int) -> Labelling:
    """The network as it is here: channels last, and labels without scores of all pixels."""
    return lambda picture: network.predict(picture).labels(size)


def _deployed(network: Segmenter, size: Size, calibration: Tensor, _: int) -> Labelling:
    ready = deployed(network, lambda n: n.predict(calibration[:1]))
    return lambda picture: ready.predict(picture).labels(size)


def _compiled(network: Segmenter, size: Size, calibration: Tensor, _: int) -> Labelling:
    ready = deployed(network, lambda n: n.predict(calibration[:1]))
    run = torch.compile(lambda picture: ready.predict(picture).labels(size), dynamic=False)

    def frozen(picture: Tensor) -> Tensor:
        with torch._inductor.config.patch(freezing=True), torch.no_grad():
            return run(picture)

    with torch.inference_mode():
        frozen(calibration[:1])
    return frozen


def _exported(format_: str, output: str) -> Callable[..., Labelling]:
    """By a file; labels are made in it, or from its coarse scores where it is slow at that."""

    def prepared(network: Segmenter, size: Size, calibration: Tensor, threads: int) -> Labelling:
        (wanted,) = formats([format_])
        wanted.check()
        graph = Graph(network, size=size, output=output)
        made = wanted.made(graph, calibration if wanted.int8 else None, opset=18, threads=threads)
        if output == "labels":
            return lambda picture: made.run(picture)[0]
        labelling = Upsampled(network, size, calibration[:1])
        return lambda picture: labelling(made.run(picture)[0])

    return prepared


class Upsampled:
    """Labels of all pixels from coarse scores, as the network's own prediction makes them."""

    def __init__(self, network: Segmenter, size: Size, example: Tensor) -> None:
        with torch.inference_mode():
            self._like, self._size = network.predict(example), size

    def __call__(self, grid_scores: Tensor) -> Tensor:
        """(1, K, h, w) -> (1, H, W)."""
        return replace(self._like, grid_scores=grid_scores).labels(self._size)


_RUNTIMES: dict[str, Callable[[Segmenter, Size, Tensor, int], Labelling]] = {
    "eager": _naive,
    "channels_last": _eager,
    "deployed": _deployed,
    "compile": _compiled,
    "onnx": _exported("onnx", "labels"),
    "onnx_int8": _exported("onnx_int8", "labels"),
    "executorch": _exported("executorch", "grid"),
    "executorch_int8": _exported("executorch_int8", "grid"),
}


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name not in _RUNTIMES:
            near = did_you_mean(name, _RUNTIMES)
            raise ConfigError(f"runtimes.names: {name} is not one of {', '.join(_RUNTIMES)}{near}")
    if not names:
        raise ConfigError(f"runtimes.names=[] measures nothing; known: {', '.join(_RUNTIMES)}")
