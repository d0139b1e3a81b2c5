"""The parts of a network that others have too: what it costs is the sum of what they cost.

A search asks for thousands of networks; there are a few hundred parts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segsuite.core.sizes import Size
from segsuite.measure.operations import OperationCounter, count_parameters
from segsuite.methods.hyctas.backbone import Features
from segsuite.methods.hyctas.genotype import SCALES, Genotype
from segsuite.methods.hyctas.network import HybridSegmenter
from segsuite.methods.hyctas.operations import CELLS
from segsuite.methods.hyctas.space import ENDINGS, SearchSpace
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.recalibration import recalibrate
from segsuite.nn.whole import Whole

Make = Callable[[Genotype], HybridSegmenter]
"""Makes the network of a genotype."""


@dataclass(frozen=True)
class Piece:
    """A part that is the same in every network that has one of this name.

    Attributes:
        name: what it is, with its channels and the size of its maps.
        make: makes it, as a module that takes tensors.
        shapes: the shape of each tensor, for one image.
        images: whether it takes an image, uint8.
    """

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    images: bool = False

    def inputs(self, device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
        """Tensors of these shapes, at random."""
        if self.images:
            return tuple(
                torch.randint(256, shape, dtype=torch.uint8, device=device) for shape in self.shapes
            )
        return tuple(
            torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
            for shape in self.shapes
        )


class Pieces:
    """Takes networks apart.

    Args:
        make: makes the network of a genotype, without auxiliary heads.
        space: the search space.
        size: (height, width) of the images, multiples of 32.
    """

    def __init__(self, make: Make, space: SearchSpace, size: Size) -> None:
        self.make, self.space, self.size = make, space, size
        with torch.device("meta"):
            like = make(space.widest(ENDINGS[0]))
        gate = "gated" if like.backbone.fusion.gate is not None else "plain"
        self._fusion, self._head = f"fusion {gate}", f"{type(like.head).__name__}"
        self._classes = like.num_classes
        self._counted: dict[str, tuple[float, int]] = {}

    def of(self, genotype: Genotype) -> list[Piece]:
        """Stem, each cell once, decoders, fusion, and the head with all that follows it."""
        stem, *behind = self._around(genotype)
        return [stem, *self._cells(genotype), *behind]

    def whole(self, genotype: Genotype) -> Piece:
        """The network itself, from an image to labels.

        Its batch norms have gathered statistics: without, numbers grow from cell to cell, attention
        gets weights of 1e-40, and ONNX Runtime is up to three times slower for such numbers.
        """

        def made() -> Whole:
            network = self.make(genotype)
            recalibrate(network, [torch.randint(256, (2, 3, *self.size), dtype=torch.uint8)])
            return Whole(network, self.size)

        return Piece(f"network {genotype}", made, ((1, 3, *self.size),), images=True)

    def random(self, generator: np.random.Generator) -> Genotype:
        """A network of the space at random."""
        return self.space.random(generator)

    def read(self, plain: Mapping[str, Any]) -> Genotype:
        """A genotype of the space from its plain form."""
        return self.space.genotype(plain["branches"])

    def every(self) -> list[Piece]:
        """All that networks of the space can have."""
        found = {piece.name: piece for piece in self._all_cells(self.space)}
        for genotype in _tails(self.space):
            found.update((piece.name, piece) for piece in self._around(genotype))
        return list(found.values())

    def gmacs(self, genotype: Genotype) -> float:
        """1e9 multiply-adds of an image."""
        return sum(self._count(piece)[0] for piece in self.of(genotype))

    def parameters(self, genotype: Genotype) -> int:
        """Number of parameters."""
        return sum(self._count(piece)[1] for piece in self.of(genotype))

    def _count(self, piece: Piece) -> tuple[float, int]:
        """1e9 multiply-adds and parameters, counted once."""
        if piece.name not in self._counted:
            with torch.device("meta"):
                module = piece.make().eval()
            with torch.no_grad(), OperationCounter(module) as counter:
                module(*piece.inputs("meta"))
            self._counted[piece.name] = counter.of("").gmacs, count_parameters(module)
        return self._counted[piece.name]

    def _at(self, scale: int) -> tuple[int, int]:
        return self.size[0] // scale, self.size[1] // scale

    def _cells(self, genotype: Genotype) -> Iterator[Piece]:
        channels = genotype.channels
        for number, branch in enumerate(genotype.branches):
            width = channels.end(8)
            for layer, operation in enumerate(branch.operations):
                scale, down = branch.scale(layer), layer in branch.downs
                twelfths = branch.width(layer, ends=channels.ends)
                wide = channels.of(2 * scale if down else scale, twelfths)
                if genotype.shared[number][layer] == number:
                    yield self._cell(operation, width, wide, scale, down)
                width = wide

    def _cell(self, operation: str, width: int, wide: int, scale: int, down: bool) -> Piece:
        height, long = self._at(scale)
        stride = 2 if down else 1
        return Piece(
            f"{operation} {width}>{wide}{' /2' if down else ''} {height}x{long}",
            lambda: CELLS[operation](width, wide, stride=stride, drop=0.0),
            ((1, width, height, long),),
        )

    def _all_cells(self, space: SearchSpace) -> Iterator[Piece]:
        channels = space.channels
        twelfths = sorted({*space.widths, channels.ends})
        for scale in SCALES:
            before = [channels.of(scale, width) for width in twelfths]
            for width, wide in product(before, before):
                for operation in space.operations:
                    yield self._cell(operation, width, wide, scale, False)
            if scale < SCALES[-1]:
                after = [channels.of(2 * scale, width) for width in twelfths]
                for width, wide in product(before, after):
                    for operation in space.halving:
                        yield self._cell(operation, width, wide, scale, True)

    def _around(self, genotype: Genotype) -> Iterator[Piece]:
        """What stands before and behind the branches."""
        channels, make = genotype.channels, lambda: self.make(genotype)
        end, quarter, size = channels.end(8), self._at(4), "{}x{}".format(*self.size)
        fine = 2 * channels.end(4)
        yield Piece(
            f"stem {fine}>{end} {size}",
            lambda: _Stem(make()),
            ((1, 3, *self.size),),
            images=True,
        )
        for number, branch in enumerate(genotype.branches):
            if not branch.downs:
                continue
            taps = [
                end if down == 0 else channels.of(scale, branch.widths[down - 1])
                for down, scale in zip(branch.downs, (8, 16), strict=False)
            ]
            deep = 8 * 2**branch.last
            yield Piece(
                f"decoder {'+'.join(map(str, taps))}+{channels.end(deep)}>{end} {size}",
                lambda number=number: _Decoder(make().backbone.decoders[number]),
                (
                    (1, channels.end(deep), *self._at(deep)),
                    *((1, tap, *self._at(8 * 2**i)) for i, tap in enumerate(taps)),
                ),
            )
        main = len(genotype.branches) * end
        eighth = (1, main, *self._at(8))
        yield Piece(f"{self._fusion} {main} {size}", lambda: make().backbone.fusion, (eighth,))
        yield Piece(
            f"{self._head} {main}>{self._classes} {size}",
            lambda: _Head(make().head, self.size),
            (eighth, (1, fine, *quarter), (1, end, *self._at(8))),
        )


def _tails(space: SearchSpace) -> Iterator[Genotype]:
    """Networks that together have every stem, decoder, fusion and head of the space."""
    yield from (space.widest(lasts) for lasts in ENDINGS)
    for first, second in product(space.widths, space.widths):
        for downs in ([0], [1], [0, 1], [1, 2]):  # what a branch has before it halves
            widths = [first, second, *[space.widths[0]] * (space.layers - 3)]
            operations = [space.halving[0]] * space.layers
            yield space.genotype([{"operations": operations, "widths": widths, "downs": downs}])


class _Stem(nn.Module):
    """From the image to where branches begin, as `HybridSegmenter` does."""

    def __init__(self, network: HybridSegmenter) -> None:
        super().__init__()
        self.normalize, self.stem = network.normalize, network.backbone.stem

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = self.normalize(images)
        if not torch.compiler.is_exporting():
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.stem(pixels)


class _Decoder(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, deep: Tensor, *taps: Tensor) -> Tensor:
        return self.decoder(deep, taps)


class _Head(nn.Module):
    """Scores, and the labels of all pixels."""

    def __init__(self, head: nn.Module, size: Size) -> None:
        super().__init__()
        self.head, self.size = head, size

    def forward(self, main: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        return GridPrediction(self.head(Features(main, fine, coarse))).labels(self.size)
