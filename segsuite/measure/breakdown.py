"""Where operations and time go, part by part (the paper's figure 1.3)."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

import torch
from torch import Tensor, nn

from segsuite.measure.cost import Cost, total
from segsuite.measure.latency import timed
from segsuite.measure.operations import Count
from segsuite.nn.segmenter import Segmenter

ELSEWHERE = "elsewhere"
"""What happens in the network's own code, outside all parts."""

_TRUNK = 4  # members from which on a list of modules counts as a trunk of blocks


@dataclass(frozen=True)
class Part:
    """A module of the network, for one image.

    Attributes:
        seconds: median seconds of an image; None where the module's forward is not what runs it.
    """

    name: str
    cost: Cost
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        milliseconds = None if self.seconds is None else 1e3 * self.seconds
        return {"part": self.name, "ms": milliseconds} | self.cost.to_dict()


def part_names(network: nn.Module, count: Count, *, apart: Collection[str] = ()) -> list[str]:
    """The coarsest cover of what ran that shows the blocks one by one, in order of running.

    Opened are modules whose own forward did not run, and those on the way to the trunk: the longest
    list of modules that ran, outside `apart`.
    """
    trunk = _trunk(network, count.ran, apart)
    names = []

    def visit(name: str, module: nn.Module) -> None:
        inside = f"{name}." if name else ""
        if name and not any(f"{a}.".startswith(inside) for a in count.active):
            return
        children = list(module.named_children())
        on_the_way = not name or trunk == name or trunk.startswith(inside)
        if children and (on_the_way or name not in count.ran):
            for child, submodule in children:
                visit(inside + child, submodule)
        else:
            names.append(name)

    visit("", network)
    return sorted(names, key=lambda name: _first(name, count.active))


def breakdown(
    network: Segmenter, images: Tensor, count: Count, *, rounds: int, warm_up: int = 1
) -> list[Part]:
    """Operations and median seconds of each part for one image; last, what is left `elsewhere`.

    Times come from a clock at the entry and exit of every part (GPU: events), which costs a little
    itself: latencies are to be taken from `latency.interleaved`.
    """
    names = part_names(network, count, apart=network.excluded_from_cost)
    batch, device = images.shape[0], images.device
    laps: list[dict[str, float]] = []
    with torch.inference_mode(), PartClock(network, names, device) as clock:
        for turn in range(-warm_up, rounds):
            (whole,) = timed([network.predict], images, device)
            lap = clock.lap()
            if turn >= 0:
                laps.append(lap | {ELSEWHERE: max(whole - sum(lap.values()), 0.0)})
    taken = {name: median(lap[name] for lap in laps) / batch for name in laps[0]}
    parts = [Part(name, _inside(name, count.by_module), taken.get(name)) for name in names]
    rest = count.everything - total(part.cost for part in parts)
    return [*parts, Part(ELSEWHERE, rest, taken[ELSEWHERE])]


class PartClock:
    """A context that takes the time between entry and exit of modules."""

    def __init__(self, network: nn.Module, names: Sequence[str], device: torch.device) -> None:
        self._modules = {name: network.get_submodule(name) for name in names}
        self._on_gpu = device.type == "cuda"
        self._stamps: dict[str, list[Any]] = defaultdict(list)
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        for name, module in self._modules.items():
            stamp = self._stamp(name)
            self._hooks.callback(module.register_forward_pre_hook(stamp).remove)
            self._hooks.callback(module.register_forward_hook(stamp).remove)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._hooks.close()

    def lap(self) -> dict[str, float]:
        """Seconds of each module since the last lap, all its calls together."""
        if self._on_gpu:
            torch.cuda.synchronize()
        seconds = {
            name: sum(map(self._between, stamps[::2], stamps[1::2]))
            for name, stamps in self._stamps.items()
        }
        self._stamps.clear()
        return seconds

    def _stamp(self, name: str) -> Callable[..., None]:
        def stamp(*anything: Any) -> None:
            self._stamps[name].append(self._now())

        return stamp

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _between(self, start: Any, end: Any) -> float:
        return start.elapsed_time(end) / 1e3 if self._on_gpu else end - start


def _inside(name: str, by_module: Mapping[str, Cost]) -> Cost:
    inside = f"{name}."
    return total(c for module, c in by_module.items() if f"{module}.".startswith(inside))


def _first(name: str, active: Sequence[str]) -> int:
    """When a module or anything in it first ran."""
    inside = f"{name}."
    return next(i for i, module in enumerate(active) if f"{module}.".startswith(inside))


def _trunk(network: nn.Module, ran: Collection[str], apart: Collection[str]) -> str:
    """The name of the longest list of modules that ran; "" when none is long enough."""
    longest, length = "", _TRUNK - 1
    for name, module in network.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        if any(f"{name}.".startswith(f"{other}.") for other in apart):
            continue
        members = sum(f"{name}.{child}" in ran for child, _ in module.named_children())
        if members > length:
            longest, length = name, members
    return longest
