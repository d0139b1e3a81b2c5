"""All networks of a search space in one set of weights (HyCTAS, sections 3.2 and 4.2).

There is a cell for each layer, scale, operation and stride, and a tail (aggregation and head) for
each combination of scales that branches end at. A sub-network is a network of its genotype whose
weights are slices of these: what is trained, scored and taken out is one computation.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from segsuite.core.errors import ConfigError
from segsuite.core.sizes import Size
from segsuite.methods.hyctas.genotype import SCALES, Genotype
from segsuite.methods.hyctas.network import HybridSegmenter, Output, initialise
from segsuite.methods.hyctas.operations import CELLS, AttentionCell
from segsuite.methods.hyctas.slimmable import sliced, slimmable
from segsuite.methods.hyctas.space import ENDINGS, SearchSpace
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.segmenter import Segmenter

Make = Callable[..., HybridSegmenter]
"""Makes the network of a genotype; takes `genotype` and `num_classes`."""

_SHARED = ("normalize", "backbone.stem")
_TAIL = ("backbone.decoders", "backbone.fusion", "head")


class Supernet(Segmenter):
    """The weights of every network of a search space.

    As a network of its own it is the largest one.

    Args:
        space: the search space.
        network: makes the network of a genotype, without auxiliary heads.

    Raises:
        ConfigError: networks with auxiliary heads, which are for retraining.
    """

    size_divisor = HybridSegmenter.size_divisor

    def __init__(self, *, space: SearchSpace, network: Make, num_classes: int) -> None:
        super().__init__()
        self.space, self.num_classes, self._make = space, num_classes, network
        self.largest, self.smallest = (space.extreme(largest=which) for which in (True, False))
        self.places = nn.ModuleDict({_key(*place): self._cell(*place) for place in self._places()})
        self.places.apply(initialise)
        self.tails = nn.ModuleDict()
        for lasts in ENDINGS:
            like = self.network_of(space.widest(lasts))
            if like.auxiliary_maps is not None:
                raise ConfigError(
                    "a supernet is trained without auxiliary heads; type "
                    "method.auxiliary_heads=none"
                )
            self.tails[_name(lasts)] = _parts(like, _TAIL)
        self.shared = _parts(like, _SHARED)
        self.pad_value = like.pad_value

    def state(self, genotype: Genotype, skeleton: HybridSegmenter) -> dict[str, Tensor]:
        """The weights of a sub-network: views, so that what is learnt stays here.

        Args:
            skeleton: the network of the genotype, which may have no memory.

        Raises:
            ConfigError: the genotype is none of the space.
        """
        self.space.check(genotype)
        tail = self.tails[_name([branch.last for branch in genotype.branches])]
        sources = [(name, self.shared[_plain(name)]) for name in _SHARED]
        sources += [(name, tail[_plain(name)]) for name in _TAIL]
        for name in skeleton.backbone.cells:
            layer, number = map(int, name.split("-"))
            branch = genotype.branches[number]
            place = (layer, branch.scale(layer), branch.operations[layer], layer in branch.downs)
            sources.append((f"backbone.cells.{name}", self.places[_key(*place)]))
        return {
            f"{name}.{leaf}": tensor
            for name, store in sources
            for leaf, tensor in sliced(store, skeleton.get_submodule(name)).items()
        }

    def run(self, genotype: Genotype, images: Tensor) -> Output:
        """What the sub-network answers, as `HybridSegmenter.forward`."""
        skeleton = self.skeleton(genotype).train(self.training)
        return functional_call(skeleton, self.state(genotype, skeleton), (images,))

    def skeleton(self, genotype: Genotype) -> HybridSegmenter:
        """The network of a genotype without memory for weights."""
        with torch.device("meta"):
            return self.network_of(genotype)

    def extracted(self, genotype: Genotype) -> HybridSegmenter:
        """A sub-network by itself, with a copy of its weights."""
        network = self.network_of(genotype).train(self.training)
        state = self.state(genotype, network)
        network.load_state_dict({name: state[name] for name in network.state_dict()})
        return network.to(next(self.parameters()).device)

    def forward(self, images: Tensor) -> Output:
        """What the largest sub-network answers."""
        return self.run(self.largest, images)

    def predict(self, images: Tensor) -> GridPrediction:
        """The best class of every pixel, by the largest sub-network."""
        return self(images).main

    def log_probabilities(self, output: Output, size: Size) -> Tensor:
        """(B, K, *size)."""
        return output.main.scores(size).float().log_softmax(1)

    def network_of(self, genotype: Genotype) -> HybridSegmenter:
        """The network of a genotype, with weights of its own at random."""
        return self._make(genotype=genotype, num_classes=self.num_classes)

    def _places(self) -> Iterator[tuple[int, int, str, bool]]:
        """Layer, scale, operation, and whether the resolution is halved."""
        for layer in range(self.space.layers):
            for scale in SCALES[: layer + 1]:
                yield from ((layer, scale, operation, False) for operation in self.space.operations)
                if scale < SCALES[-1] and layer < self.space.layers - 1:
                    yield from ((layer, scale, name, True) for name in self.space.halving)

    def _cell(self, layer: int, scale: int, operation: str, down: bool) -> nn.Module:
        """A cell of the greatest width, for narrower ones to be slices of it."""
        channels, to = self.space.channels, 2 * scale if down else scale
        widths = {*self.space.widths, channels.ends}
        sizes = [channels.of(to, width) for width in widths]
        entry = channels.end(8) if layer == 0 else max(channels.of(scale, w) for w in widths)
        kind = {"stride": 2 if down else 1, "drop": 0.0}
        if CELLS[operation] is AttentionCell:
            kind["convolved"] = True
        return slimmable(CELLS[operation](entry, max(sizes), **kind), sizes)


def _parts(network: nn.Module, names: tuple[str, ...]) -> nn.ModuleDict:
    """These parts of a network, with tables in place of their batch norms."""
    return nn.ModuleDict({_plain(name): slimmable(network.get_submodule(name)) for name in names})


def _plain(name: str) -> str:
    """A part's name without the dots that module dictionaries refuse."""
    return name.rpartition(".")[2]


def _name(lasts: list[int] | tuple[int, ...]) -> str:
    """ "8+32" for branches that end at 1/8 and 1/32."""
    return "+".join(str(SCALES[last]) for last in lasts)


def _key(layer: int, scale: int, operation: str, down: bool) -> str:
    """ "3-16-light" and "3-16-light-down"."""
    return f"{layer}-{scale}-{operation}{'-down' if down else ''}"
