"""Peak memory of one forward pass."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from segsuite.measure.dispatch import OperationWatch


class LiveBytes:
    """A context that follows the bytes of tensors made inside it.

    What kernels allocate for themselves is not seen, and neither are tensors from before, such as
    weights and inputs. Views share their storage and count once.

    Attributes:
        now: number of bytes that are alive.
        peak: the most bytes that were alive at once.
    """

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._known: dict[int, weakref.finalize] = {}
        self._watch = OperationWatch(self._seen)

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._watch.__exit__(*exception)
        for finalizer in self._known.values():
            finalizer.detach()

    def _seen(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        before = {v.untyped_storage()._cdata for v in tree_leaves((args, kwargs)) if _is_real(v)}
        for value in tree_leaves(result):
            if _is_real(value):
                storage = value.untyped_storage()
                if storage._cdata not in before and storage._cdata not in self._known:
                    self._add(storage)

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        self._known[key] = weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.now -= size
        del self._known[key]


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The most bytes that one run holds beyond what was there before it.

    On a GPU the allocator's own figure, workspaces included; on a CPU the bytes of live tensors.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with LiveBytes() as live:
        run()
    return live.peak


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided
