"""`probe=estimate_cost`: what an estimate of few images costs beside one of many, and is worth.

HyCTAS takes 1,000 images for batch norms and 500 for the score of each candidate.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
from rich.console import Console

from segsuite.core.errors import ConfigError
from segsuite.core.hardware import Device, device_of
from segsuite.core.hints import Between, Count, Sides
from segsuite.core.results import Entry, Metric
from segsuite.data.module import HELD_OUT
from segsuite.engine.inference.candidates import NamedNetworks
from segsuite.engine.inference.framing import pair
from segsuite.measure.machine import machine
from segsuite.searching.correlation import correlation
from segsuite.searching.supernets import measures_of


@dataclass(frozen=True)
class EstimateCost:
    """Both estimates of the same architectures, evaluated in turns.

    Attributes:
        images: how many images each kind takes, for batch norms and for the score; no more than
            there are.
        miou, seconds: of each architecture, by kind.
    """

    images: Mapping[str, tuple[int, int]]
    miou: Mapping[str, list[float]]
    seconds: Mapping[str, list[float]]
    machine: Mapping[str, Any]

    def figures(self) -> dict[str, float]:
        """Kendall's correlation of both, and the share of the time that few images take."""
        pairs = zip(self.seconds["few"], self.seconds["many"], strict=True)
        return {
            "kendall": correlation("kendall", self.miou["few"], self.miou["many"]),
            "share_of_time": median(few / many for few, many in pairs),
        }

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; with `parts` each architecture's."""
        plain: dict[str, Any] = {
            "architectures": len(self.miou["few"]),
            "images": {kind: list(counts) for kind, counts in self.images.items()},
            **self.figures(),
        }
        return {**plain, "miou": self.miou, "seconds": self.seconds} if parts else plain

    def entries(self) -> list[Entry]:
        """One."""
        metrics = {name: Metric(value=value) for name, value in self.figures().items()}
        return [Entry(name="estimate_cost", metrics=metrics, settings={})]

    def show(self, console: Console, folder: Path) -> None:
        """Prints a sentence."""
        found = self.figures()
        few, many = (" and ".join(map(str, self.images[kind])) for kind in ("few", "many"))
        took, taken = (median(self.seconds[kind]) for kind in ("few", "many"))
        console.print(
            f"{len(self.miou['few'])} architectures: {few} images take "
            f"{found['share_of_time']:.3f} of the time of {many} ({took:.2f} and {taken:.2f} s "
            f"each); Kendall's correlation of both {found['kendall']:.2f}",
            highlight=False,
            soft_wrap=True,
        )


class CompareEstimates:
    """Estimates architectures twice, by few and by many images.

    Args:
        networks: the checkpoint of a supernet.
        architectures: how many, at random.
        few, many: images for batch norms, and for the score.
    """

    def __init__(
        self,
        *,
        networks: NamedNetworks,
        data: Any,
        size: Sides,
        architectures: Annotated[int, Between(3)] = 20,
        few: Sequence[Count] = (24, 24),
        many: Sequence[Count] = (1000, 500),
        batch_size: Count = 8,
        device: Device = "auto",
        seed: int = 0,
    ) -> None:
        self.networks, self.data, self.size = networks, data, pair(size)
        self.architectures, self.batch_size = architectures, batch_size
        self.images = {"few": pair(few), "many": pair(many)}
        self.device, self.seed = device_of(device), seed

    def __call__(self, *, data_overrides: Sequence[str], tell: Any) -> EstimateCost:
        """Measures.

        Raises:
            ConfigError: not exactly one checkpoint, or no data.
            CheckpointError: it is of no supernet.
        """
        candidates = self.networks.built(self.size, data_overrides=data_overrides)
        if len(candidates) != 1 or candidates[0].path is None or not data_overrides:
            raise ConfigError(
                "probe=estimate_cost takes checkpoints=[SUPERNET] and the data that it was trained "
                "on: data=camvid data.root=FOLDER data.held_out=0.2"
            )
        arms = {
            kind: measures_of(
                candidates[0].network,
                self.data,
                source=candidates[0].path,
                size=self.size,
                device=self.device,
                norm_images=norms,
                scored_images=scored,
                batch_size=self.batch_size,
            )
            for kind, (norms, scored) in self.images.items()
        }
        generator = np.random.default_rng(self.seed % 2**63)
        miou: dict[str, list[float]] = {kind: [] for kind in arms}
        seconds: dict[str, list[float]] = {kind: [] for kind in arms}
        for measures in arms.values():  # images are read once, and not by the first architecture
            measures.evaluated(measures.supernet.smallest)
        for number in range(self.architectures):
            genotype = arms["few"].pieces.random(generator)
            for kind, measures in arms.items():
                begun = time.perf_counter()
                miou[kind].append(measures.evaluated(genotype)["miou"])
                seconds[kind].append(time.perf_counter() - begun)
            tell(f"{number + 1} of {self.architectures} architectures")
        there = len(self.data.samples("train")), len(self.data.samples(HELD_OUT))
        images = {
            kind: (min(norms, there[0]), min(scored, there[1]))
            for kind, (norms, scored) in self.images.items()
        }
        return EstimateCost(images, miou, seconds, machine(self.device))
