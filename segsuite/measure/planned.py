"""What a network will cost, before it has run: counted on the meta device, in half a second."""

import copy
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from segsuite.core.sizes import Size
from segsuite.measure.cost import Cost
from segsuite.measure.operations import count
from segsuite.nn.segmenter import Segmenter


@dataclass(frozen=True)
class Planned:
    """The cost of one image; as text, "65.3 GMACs for an image of 512x512".

    Attributes:
        at_most: whether tokens leave by what an image shows, so that less may run.
    """

    cost: Cost
    size: Size
    at_most: bool

    def __str__(self) -> str:
        height, width = self.size
        if not self.at_most:
            return f"{self.cost.gmacs:.3g} GMACs for an image of {height}x{width}"
        return (
            f"at most {self.cost.gmacs:.3g} GMACs for an image of {height}x{width}, since tokens "
            "leave by what an image shows"
        )


def planned_cost(network: nn.Module, size: Size) -> Planned | None:
    """What `predict` costs to native stride, or None where that cannot be known without an image.

    No weight is copied and nothing is computed; the network stays as it is.
    """
    if not isinstance(network, Segmenter):
        return None
    twin = _without_data(network)
    images = torch.zeros(1, 3, *size, device="meta")
    # Training masks tokens that evaluation drops: shapes are known then, and nothing is left out.
    for training in (False, True):
        try:
            counted = count(twin.train(training), images)
        except Exception:  # a choice that needs numbers, in the form of whatever library makes it
            continue
        trace = getattr(counted.prediction, "trace", None)
        masked = trace is not None and any(stage.valid is not None for stage in trace.stages)
        return Planned(counted.everything, size, at_most=masked)
    return None


def _without_data(network: Segmenter) -> Segmenter:
    """A copy whose weights have shapes and no numbers."""
    tensors: chain[Tensor] = chain(network.parameters(), network.buffers())
    return copy.deepcopy(network, {id(tensor): _shape(tensor) for tensor in tensors})


def _shape(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty
