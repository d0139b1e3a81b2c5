"""Seeing every tensor operation that really runs, whatever module or function called it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

Seen = Callable[[str, Sequence[Any], Mapping[str, Any], Any], None]
"""Called with an operation's name, its inputs (by position, by name) and its result."""


class OperationWatch(TorchDispatchMode):
    """Calls `seen` after each elementary operation that runs inside the context.

    Works on real inputs, so that compute that depends on the image is noted as it happened, and
    on the meta device, where nothing is computed. Composite operations (`linear` under
    `inference_mode`, `einsum`, ...) are taken apart first, except those named in `whole`: the same
    kernels are then seen in every gradient mode.
    """

    def __init__(self, seen: Seen, *, whole: Collection[str] = ()) -> None:
        super().__init__()
        self._seen = seen
        self._whole = whole

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = operation_name(func)
        if name not in self._whole:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = _resized_on_meta(name, args)
        result = func(*args, **kwargs) if result is None else result
        self._seen(name, args, kwargs, result)
        return result


def _resized_on_meta(name: str, args: Sequence[Any]) -> Tensor | None:
    """The shape of a resized map; None where it is no such operation or has no size.

    On the meta device torch itself takes a resize apart into some eighty operations, in Python.
    """
    if name != "upsample_bilinear2d" or not args[0].is_meta or args[1] is None:
        return None
    return args[0].new_empty((*args[0].shape[:2], *args[1]))


def operation_name(operation: OpOverload) -> str:
    """ "addmm" for `aten::addmm.default`; other libraries keep theirs: "mkldnn::_linear"."""
    space, name = operation._schema.name.split("::")
    return name if space == "aten" else f"{space}::{name}"
