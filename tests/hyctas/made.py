"""Networks of the family as configured."""

from typing import Any

import torch
from torch import nn

from segsuite.core.build import build
from segsuite.core.config import composed
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.network import HybridSegmenter

TWO_BRANCHES: dict[str, Any] = {
    "filters": 2,
    "branches": [
        {
            "operations": ["light", "conv", "attention", "skip", "light2"],
            "widths": [12, 8, 8, 4],
            "downs": [2],
        },
        {
            "operations": ["light", "attention", "skip", "light2", "conv"],
            "widths": [12, 8, 10, 6],
            "downs": [1, 3],
        },
    ],
}


def network(
    *overrides: str, classes: int = 19, meta: bool = False, of: str = "hyctas"
) -> HybridSegmenter:
    """A network with weights that are drawn, or without memory for any.

    Args:
        of: the method, `hyctas` or `hyctas_panoptic`.
    """
    cfg = composed(
        "train", [f"method={of}", "data=scenes", f"data.num_classes={classes}", *overrides]
    )
    torch.manual_seed(0)
    with torch.device("meta" if meta else "cpu"):
        return build(cfg.method.network, path="method.network")


def genotype(name: str) -> Genotype:
    """That of the released network, S, M or L."""
    cfg = composed("train", ["method=hyctas", f"method/genotype={name}", "data=scenes"])
    return build(cfg.method.genotype, path="method.genotype")


def stirred(module: nn.Module) -> nn.Module:
    """The module at rest, with statistics of its batch norms and an attention that counts.

    As they are drawn, attention is weighted by 0, and a mistake in it would not be seen.
    """
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if "norm" in name and "normalize" not in name and tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
            elif name.endswith("gamma"):
                tensor.fill_(0.7)
    return module.eval()


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
