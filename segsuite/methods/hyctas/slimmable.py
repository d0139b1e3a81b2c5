"""Weights of many widths in one: convolutions are sliced, and each width has its own batch norms.

Yu et al., "Slimmable Neural Networks" (ICLR 2019).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SwitchableBatchNorm(nn.Module):
    """The batch norms of one place, a row for each number of channels that it may have.

    The names of its tensors are those of a batch norm; each has one more dimension, the first.

    Args:
        sizes: numbers of channels that it may have.
    """

    num_batches_tracked: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = sorted(set(sizes))
        rows, most = len(self.sizes), self.sizes[-1]
        self.weight = nn.Parameter(torch.ones(rows, most))
        self.bias = nn.Parameter(torch.zeros(rows, most))
        self.register_buffer("running_mean", torch.zeros(rows, most))
        self.register_buffer("running_var", torch.ones(rows, most))
        self.register_buffer("num_batches_tracked", torch.zeros(rows, dtype=torch.int64))

    def row(self, channels: int) -> dict[str, Tensor]:
        """The tensors of a batch norm of so many channels: views, so that it writes into them."""
        row = self.sizes.index(channels)
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {n: t[row] if t.ndim == 1 else t[row, :channels] for n, t in tensors.items()}


def slimmable(largest: nn.Module, sizes: Sequence[int] = ()) -> nn.Module:
    """The module with tables in place of its batch norms.

    Args:
        largest: of the greatest width; it is changed.
        sizes: numbers of channels that a batch norm may have; the one that it has where there are
            none.
    """
    for name, part in list(largest.named_modules()):
        if isinstance(part, nn.BatchNorm2d):
            largest.set_submodule(name, SwitchableBatchNorm(sizes or [part.num_features]))
    return largest


def sliced(store: nn.Module, skeleton: nn.Module) -> dict[str, Tensor]:
    """The state of a narrower module of the same build: views of the weights of `store`.

    Args:
        skeleton: says the shapes; it may be on the meta device.
    """
    parts = dict(store.named_modules())
    whole = {**dict(store.named_parameters()), **dict(store.named_buffers())}
    state: dict[str, Tensor] = {}
    for name, part in skeleton.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            state |= {f"{name}.{n}": t for n, t in parts[name].row(part.num_features).items()}
            continue
        own = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        for leaf, tensor in own:
            full = f"{name}.{leaf}" if name else leaf
            state[full] = whole[full][tuple(slice(0, side) for side in tensor.shape)]
    return state
