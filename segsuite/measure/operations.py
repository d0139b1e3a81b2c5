"""Operations counted while the network runs on real images, module by module.

`torch.utils.flop_counter` counts two per multiply-add and leaves out what fvcore includes; fvcore
traces once, drops attention and bakes data-dependent sizes in. Here each operation that really runs
is counted, so a network that masks tokens pays for them and one that drops tokens does not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from segsuite.measure.cost import Cost, total
from segsuite.measure.dispatch import OperationWatch
from segsuite.measure.formulas import FORMULAS
from segsuite.nn.segmenter import Prediction, Segmenter

_PRODUCTS = re.compile(
    r"(^|[_:])(\w*mm|matmul|conv\w*d|convolution|attention|linear|lstm|gru|rnn|mv|einsum|bilinear)"
    r"(_|$)"
)
"""Names of operations that cannot be free: one without a formula is an error, not a zero."""


class OperationCounter:
    """A context that charges each operation to the module that holds the weight, or else runs.

    The weight decides first, so that a patch embedding that others call as a function is still the
    patch embedding's. Counts the forward direction only.

    Attributes:
        by_module: cost charged to each module itself, without its submodules; "" is the network's
            own code.
        ran: modules whose forward was called.
        active: modules that ran or were charged, in order.

    Raises:
        NotImplementedError: an operation that looks like a matrix product has no formula.
    """

    def __init__(self, network: nn.Module) -> None:
        self.by_module: dict[str, Cost] = {}
        self.ran: set[str] = set()
        self.active: dict[str, None] = {}
        self._network = network
        self._running = [""]
        self._owners = {
            parameter.untyped_storage()._cdata: name.rpartition(".")[0]
            for name, parameter in reversed(list(network.named_parameters()))
        }
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for name, module in self._network.named_modules():
            enter = module.register_forward_pre_hook(self._entering(name), prepend=True)
            leave = module.register_forward_hook(self._leaving, always_call=True)
            self._exits.callback(enter.remove)
            self._exits.callback(leave.remove)
        # The fused path of nn.MultiheadAttention is one opaque operation.
        self._exits.callback(
            torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled()
        )
        torch.backends.mha.set_fastpath_enabled(False)
        self._exits.enter_context(OperationWatch(self._seen, whole=FORMULAS))
        return self

    def __exit__(self, *exception: Any) -> None:
        self._exits.close()

    def of(self, name: str) -> Cost:
        """The cost of a module and everything in it; "" is the whole network."""
        inside = f"{name}."
        return total(
            cost
            for module, cost in self.by_module.items()
            if not name or module == name or module.startswith(inside)
        )

    def _entering(self, name: str) -> Callable[..., None]:
        def entering(module: nn.Module, args: Any) -> None:
            self.ran.add(name)
            self.active.setdefault(name)
            self._running.append(name)

        return entering

    def _leaving(self, module: nn.Module, args: Any, result: Any) -> None:
        self._running.pop()

    def _seen(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        if name in FORMULAS:
            module = self._owner(args)
            cost = FORMULAS[name](args, result)
            self.active.setdefault(module)
            self.by_module[module] = self.by_module.get(module, Cost()) + cost
        elif _PRODUCTS.search(name):
            raise NotImplementedError(
                f"`{name}` looks like a matrix product but has no formula; counting it as nothing "
                "would flatter the network. Add it to segsuite/measure/formulas.py"
            )

    def _owner(self, args: Sequence[Any]) -> str:
        for value in args:
            if isinstance(value, Tensor):
                name = self._owners.get(value.untyped_storage()._cdata)
                if name is not None:
                    return name
        return self._running[-1]


@dataclass(frozen=True)
class Count:
    """What one image costs.

    Attributes:
        everything: cost of all that ran.
        excluded: cost of what papers leave out (`network.excluded_from_cost`, such as a policy).
        by_module: cost of each module itself, without its submodules.
        ran: modules whose forward was called.
        active: modules that ran or were charged, in order.
        prediction: what the network answered.
    """

    everything: Cost
    excluded: Cost
    by_module: Mapping[str, Cost]
    ran: frozenset[str]
    active: tuple[str, ...]
    prediction: Prediction

    @property
    def as_published(self) -> Cost:
        """The cost without what papers leave out."""
        return self.everything - self.excluded


def count(network: Segmenter, images: Tensor) -> Count:
    """Operations of `network.predict(images)` to native stride, for one image of the batch.

    Upsampling to the size of the labels is not in it: that is asked of the prediction afterwards.
    """
    batch = images.shape[0]
    with torch.no_grad(), OperationCounter(network) as counter:
        prediction = network.predict(images)
    return Count(
        everything=counter.of("") // batch,
        excluded=total(counter.of(name) for name in network.excluded_from_cost) // batch,
        by_module={name: cost // batch for name, cost in counter.by_module.items()},
        ran=frozenset(counter.ran),
        active=tuple(counter.active),
        prediction=prediction,
    )


def count_parameters(module: nn.Module) -> int:
    """Parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_used_parameters(network: Segmenter) -> int:
    """Those that predictions need: without what training alone runs."""
    left_out = [getattr(network, name) for name in network.training_only]
    unused = sum(count_parameters(part) for part in left_out if part is not None)
    return count_parameters(network) - unused
