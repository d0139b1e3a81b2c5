"""Does a forward pass make the host wait for the device?

Each such wait empties the GPU's queue: the reference implementation of DToP has 727 of them a
image. On a GPU torch itself reports them; on a CPU nothing waits, but the operations that would
wait can be seen, because their result decides a shape or a Python value.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from segsuite.measure.dispatch import OperationWatch

_WAITING = frozenset(
    {
        "_local_scalar_dense",
        "_unique",
        "_unique2",
        "allclose",
        "argwhere",
        "bincount",
        "equal",
        "histc",
        "is_nonzero",
        "item",
        "masked_select",
        "nonzero",
        "nonzero_numpy",
        "repeat_interleave",
        "unique_consecutive",
        "unique_dim",
        "unique_dim_consecutive",
    }
)
_INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})


_MASKS = (torch.bool, torch.uint8)


def host_syncs(run: Callable[[], object], device: torch.device | None = None) -> list[str]:
    """What makes the host wait, in order, one entry per wait.

    On a GPU CUDA reports them, and each entry is a place in the code. On a CPU `tolist` and `numpy`
    read memory without being operations, and are not seen.
    """
    waits: list[str] = []

    def seen(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        if _waits(name, args, kwargs):
            waits.append(name)

    if device is None or device.type != "cuda":
        with OperationWatch(seen, whole=_WAITING):
            run()
        return waits
    return _reported_by_cuda(run)


def _reported_by_cuda(run: Callable[[], object]) -> list[str]:
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    return [
        f"{warning.filename}:{warning.lineno}"
        for warning in caught
        if "called a synchronizing CUDA operation" in str(warning.message)
    ]


def _waits(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if name in _INDEXING:  # boolean masks hide a nonzero
        indices = args[1] if len(args) > 1 else kwargs.get("indices", ())
        masks = [i for i in indices if isinstance(i, Tensor) and i.dtype in _MASKS]
        return bool(masks) and not _is_masked_fill(args, indices)
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    return name in _WAITING


def _is_masked_fill(args: Sequence[Any], indices: Sequence[Any]) -> bool:
    """One value written where one mask says so: torch fills it in, and needs no positions."""
    given = [i for i in indices if i is not None]
    one_mask = len(given) == 1 and given[0].dtype in _MASKS
    return one_mask and len(args) > 2 and isinstance(args[2], Tensor) and args[2].numel() == 1
