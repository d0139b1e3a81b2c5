"""A network as it is trained: same weights and answers, less time."""

from torch import nn

from segsuite.nn.dilated import split_dilations
from segsuite.nn.pointwise import multiply_pointwise

_BY_INPUT = (nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.ELU, nn.CELU)
"""Activations whose derivative is that of their input: one that was overwritten has been copied."""


def make_ready(network: nn.Module) -> None:
    """Replaces what is trained faster in another way, see `nn.dilated` and `nn.pointwise`; and
    activations such as ReLU6 no longer work in place, which costs a copy and saves no memory.
    """
    split_dilations(network)
    multiply_pointwise(network)
    for module in network.modules():
        if isinstance(module, _BY_INPUT) and getattr(module, "inplace", False):
            module.inplace = False
