"""`probe=rank_correlation`: whether a supernet ranks networks as their own training does.

No search can be better than this correlation: HyCTAS, section 4.2, has 0.79 (Pearson) and 0.58
(Kendall) for ten networks that were trained for 40,000 iterations.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import ConfigError, DataError
from segsuite.core.hardware import Device, device_of
from segsuite.core.hints import Count, Sides
from segsuite.core.results import Entry, Metric
from segsuite.engine.accuracy import accuracies
from segsuite.engine.inference.candidates import Candidate, NamedNetworks
from segsuite.engine.inference.framing import pair
from segsuite.engine.resuming import stored_samples
from segsuite.measure.machine import machine
from segsuite.methods.hyctas.network import HybridSegmenter
from segsuite.searching.correlation import correlation
from segsuite.searching.supernets import measures_of

LEAST = 3
"""Networks; of two, a correlation is 1 or -1."""


@dataclass(frozen=True)
class Ranks:
    """Estimates by a supernet, and what the networks reached by themselves.

    Attributes:
        names: of the retrained networks.
        estimates: mIoU of held-out images, with the supernet's weights.
        reached: mIoU of validation images, with their own.
        untrained: those whose checkpoints know of no training, as those that a search wrote.
    """

    names: Sequence[str]
    estimates: Sequence[float]
    reached: Sequence[float]
    machine: Mapping[str, Any]
    untrained: Sequence[str] = ()

    def correlations(self) -> dict[str, float]:
        """Pearson's and Kendall's."""
        return {
            name: correlation(name, self.estimates, self.reached) for name in ("pearson", "kendall")
        }

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; with `parts` each network's mIoU."""
        plain: dict[str, Any] = {"networks": len(self.names), **self.correlations()}
        if parts:
            rows = zip(self.names, self.estimates, self.reached, strict=True)
            plain["each"] = [
                {"network": name, "supernet_miou": estimate, "miou": reached}
                for name, estimate, reached in rows
            ]
        return plain

    def entries(self) -> list[Entry]:
        """One."""
        metrics = {name: Metric(value=value) for name, value in self.correlations().items()}
        return [Entry(name="rank_correlation", metrics=metrics, settings={})]

    def show(self, console: Console, folder: Path) -> None:
        """Prints a table and both correlations."""
        table = Table("network", "mIoU by the supernet", "mIoU by itself")
        for name, estimate, reached in zip(self.names, self.estimates, self.reached, strict=True):
            table.add_row(name, f"{100 * estimate:.2f}", f"{100 * reached:.2f}")
        console.print(table)
        found = self.correlations()
        console.print(
            f"Pearson {found['pearson']:.2f}, Kendall {found['kendall']:.2f} of "
            f"{len(self.names)} networks (the paper: 0.79 and 0.58 of 10); by the supernet on "
            "held-out images, by itself on the validation images",
            soft_wrap=True,
            highlight=False,
        )
        if self.untrained:
            console.print(
                f"{', '.join(self.untrained)}: not trained by itself, as far as the "
                "checkpoint tells; with the supernet's own weights the comparison says nothing",
                soft_wrap=True,
                highlight=False,
            )


class RankCorrelation:
    """Compares a supernet's estimates with networks that were trained by themselves.

    Args:
        networks: the checkpoint of the supernet, then those of networks of its search space.
        data: the data module; the supernet's estimates are of its held-out images, the networks'
            own scores of its validation images.
        size: (height, width) of the images.
        norm_images, scored_images, batch_size: see `Subnetworks`.
    """

    def __init__(
        self,
        *,
        networks: NamedNetworks,
        data: Any,
        size: Sides,
        norm_images: Count = 200,
        scored_images: Count = 100,
        batch_size: Count = 8,
        device: Device = "auto",
    ) -> None:
        self.networks, self.data, self.size = networks, data, pair(size)
        self.images = {
            "norm_images": norm_images,
            "scored_images": scored_images,
            "batch_size": batch_size,
        }
        self.device = device_of(device)
        correlation("kendall", [0, 1, 2], [0, 1, 2])  # before anything is measured: is scipy there?

    def __call__(self, *, data_overrides: Sequence[str], tell: Any) -> Ranks:
        """Measures.

        Raises:
            ConfigError: no supernet, too few networks, or one that is not of its search space.
            CheckpointError: the first is of no supernet.
        """
        first, *others = self.networks.built(self.size, data_overrides=data_overrides)
        if not data_overrides or len(others) < LEAST or first.path is None:
            raise ConfigError(
                "probe=rank_correlation takes checkpoints=[SUPERNET,A,B,C,...], of a supernet and "
                f"{LEAST} networks or more that were trained by themselves, and the data that "
                "they are compared on: data=camvid data.root=FOLDER data.held_out=0.2"
            )
        measures = measures_of(
            first.network,
            self.data,
            source=first.path,
            size=self.size,
            device=self.device,
            **self.images,
        )
        networks = [_hybrid(candidate) for candidate in others]
        if len({network.backbone.genotype for network in networks}) < len(networks):
            raise ConfigError(
                "probe=rank_correlation: two of the checkpoints are of one architecture; give one "
                "of each"
            )
        for network in networks:
            measures.supernet.space.check(network.backbone.genotype)
            network.to(self.device)
        estimates = []
        for candidate, network in zip(others, networks, strict=True):
            tell(f"{candidate.name} by the supernet")
            estimates.append(measures.evaluated(network.backbone.genotype)["miou"])
        self.data.setup("validate")
        kind = {"size": self.size, "images": None, "precision": nullcontext()}
        scores, notes = accuracies(others, self.data, tell=tell, **kind)
        if notes:
            raise ConfigError(notes[0])
        reached = [scores[candidate.name].value for candidate in others]
        if None in reached:
            raise DataError("the validation images have no label, so that nothing can be scored")
        names = [candidate.name for candidate in others]
        untrained = [candidate.name for candidate in others if not _was_trained(candidate)]
        return Ranks(names, estimates, reached, machine(self.device), untrained)


def _was_trained(candidate: Candidate) -> bool:
    assert candidate.path is not None  # all are of checkpoints
    return bool(stored_samples(read_checkpoint(candidate.path), Path(candidate.path)))


def _hybrid(candidate: Candidate) -> HybridSegmenter:
    if not isinstance(candidate.network, HybridSegmenter):
        raise ConfigError(
            f"{candidate.path} holds a {type(candidate.network).__name__}, which has no genotype; "
            "give networks of method=hyctas"
        )
    return candidate.network
