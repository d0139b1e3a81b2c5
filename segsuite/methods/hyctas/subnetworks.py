"""What a sub-network of a trained supernet is worth: accuracy without training it, and its cost."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.sizes import Size, check_size
from segsuite.data.module import HELD_OUT
from segsuite.engine.accuracy import accuracy
from segsuite.engine.evaluators import Evaluator
from segsuite.measure.images import resized
from segsuite.measure.memory import peak_bytes
from segsuite.methods.hyctas.genes import Genes
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.network import HybridSegmenter
from segsuite.methods.hyctas.pieces import Pieces
from segsuite.methods.hyctas.supernet import Supernet
from segsuite.nn.recalibration import recalibrate


class Subnetworks:
    """Measures architectures of a supernet's space, always on the same images.

    Args:
        supernet: the trained supernet, on the device where it is to run.
        data: the data module, with training images held out for the scores.
        evaluator: scores predictions.
        size: (height, width) that images are resized to.
        norm_images: how many training images batch norms are gathered from.
        scored_images: how many held-out images are scored.
        batch_size: number of images in a batch of the former.
    """

    def __init__(
        self,
        *,
        supernet: Supernet,
        data: Any,
        evaluator: Evaluator,
        size: Size,
        norm_images: int,
        scored_images: int,
        batch_size: int,
    ) -> None:
        check_size(size, supernet.size_divisor, key="size")
        if min(norm_images, batch_size) < 2:
            raise ConfigError(
                f"norm_images={norm_images} batch_size={batch_size}: batch norms are gathered from "
                "batches of 2 images or more"
            )
        self.supernet, self.data, self.evaluator = supernet.eval(), data, evaluator
        self.size, self.norm_images, self.scored_images = size, norm_images, scored_images
        self.batch_size = batch_size
        self.genes = Genes(supernet.space)
        self.pieces = Pieces(supernet.network_of, supernet.space, size)

    @property
    def device(self) -> torch.device:
        """Where the supernet is."""
        return next(self.supernet.parameters()).device

    def to(self, device: str) -> "Subnetworks":
        """Itself, with the supernet there."""
        self.supernet.to(device)
        return self

    def cheap(self, genotype: Genotype, names: Sequence[str]) -> dict[str, float]:
        """The metrics of that name: `gmacs` (1e9 multiply-adds of an image), `parameters`, and
        `memory` (1e6 bytes held at most on the way to labels, see `measure.memory`)."""
        known: dict[str, Callable[[], float]] = {
            "gmacs": lambda: self.pieces.gmacs(genotype),
            "parameters": lambda: float(self.pieces.parameters(genotype)),
            "memory": lambda: self._memory(genotype),
        }
        return {name: known[name]() for name in names}

    def evaluated(self, genotype: Genotype) -> dict[str, float]:
        """`miou` on held-out images, with the weights of the supernet."""
        return {"miou": self._accuracy(genotype)}

    def calibrated(self, genotype: Genotype) -> HybridSegmenter:
        """A sub-network by itself, the statistics of its batch norms gathered anew."""
        network = self.supernet.extracted(genotype)
        device = next(network.parameters()).device
        recalibrate(network, (batch.to(device) for batch in self._batches))
        return network

    def _accuracy(self, genotype: Genotype) -> float:
        network = self.calibrated(genotype)
        device = next(network.parameters()).device

        def labels(image: Tensor, size: Size) -> Tensor:
            return network.predict(image.to(device)).labels(size).cpu()

        scored = accuracy(
            labels,
            self.data,
            size=self.size,
            evaluator=self.evaluator,
            images=self.scored_images,
            split=HELD_OUT,
        )
        if scored.value is None:
            raise DataError("the held-out images have no label, so that nothing can be scored")
        return scored.value

    def _memory(self, genotype: Genotype) -> float:
        """On the meta device, where nothing is computed: bytes are those of a CPU."""
        network, meta = self.supernet.skeleton(genotype).eval(), torch.device("meta")
        image = torch.empty(1, 3, *self.size, dtype=torch.uint8, device=meta)
        with torch.no_grad():
            held = peak_bytes(lambda: network.predict(image).labels(self.size), meta)
        return held / 1e6

    @cached_property
    def _batches(self) -> list[Tensor]:
        """Training images, evenly spread over the split; drawn once for all architectures."""
        return list(self._spread())

    def _spread(self) -> Iterator[Tensor]:
        samples = self.data.samples("train")
        count = min(self.norm_images, len(samples))
        count = count // self.batch_size * self.batch_size or count  # equal batches count alike
        places = [number * len(samples) // count for number in range(count)]
        for start in range(0, count, self.batch_size):
            chosen = places[start : start + self.batch_size]
            images = (self.data.eval_transform(samples[place].image) for place in chosen)
            yield torch.stack([resized(image, self.size) for image in images])
