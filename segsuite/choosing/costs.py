"""What networks cost on this machine: measured in turns, once, and remembered."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

from segsuite.choosing.known import network_digest
from segsuite.core.config import CONF
from segsuite.core.errors import ConfigError, MissingExtra
from segsuite.core.files import write_json
from segsuite.core.sizes import Size
from segsuite.engine.inference.candidates import Candidate, from_experiment
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.record import plain
from segsuite.measure.memory import peak_bytes
from segsuite.measure.operations import count, count_used_parameters
from segsuite.nn.recalibration import recalibrate
from segsuite.nn.whole import Whole
from segsuite.searching.latency.runtimes import Run, Runtime

_DIVISORS = (1, 16, 32, 64)
_WARM_UP, _LEAST, _LONG = 2, 5, 6.0
"""Runs that do not count, runs that do at least, and seconds after which no more are needed."""
_SHORT = 0.3
"""Seconds below which a run feels that another network filled the caches before it."""

_LIBRARIES = ("torch", "timm", "torchvision", "ultralytics", "segmentation_models_pytorch")

log = logging.getLogger(__name__)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        size: (height, width) that it was measured at: images of another size are padded to it.
        values: by the names of `budget.COSTS`.
        low, high: the first and the last decile of the milliseconds.
        network: digest of its config, by which runs of it are found.
    """

    size: tuple[int, int]
    values: Mapping[str, float]
    low: float
    high: float
    network: str


class Costs:
    """Measures experiments' networks with random weights, which cost as much as trained ones.

    Args:
        runtime: what runs them.
        size: (height, width) of the images.
        overrides: what was typed about the data set.
        classes: how many there are.
        path: file of what this machine measured before.
        rounds: how often each is run at most.
        allow: import prefixes of other people's networks.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        size: Size,
        overrides: Sequence[str],
        classes: int,
        path: Path,
        rounds: int,
        allow: Sequence[str] = (),
    ) -> None:
        self.runtime, self.size, self.overrides = runtime, size, list(overrides)
        self.path, self.rounds, self.allow = path, rounds, tuple(allow)
        if rounds < _LEAST:
            raise ConfigError(f"rounds={rounds} says little; type {_LEAST} or more")
        about = [dict(runtime.facts), list(size), classes, rounds, suite_digest(), _versions()]
        about += [self.overrides, self.allow]
        self.circumstances = _digest(about)

    def of(
        self, experiments: Sequence[str], *, tell: Tell
    ) -> tuple[dict[str, Cost], dict[str, str]]:
        """Each experiment's cost, and why some have none.

        What was not measured before is measured in turns, beside one network that was: where that
        is slower now, so is the machine.
        """
        known = self._remembered()
        found = {name: known[name] for name in experiments if name in known}
        missing, failed = [name for name in experiments if name not in known], {}
        if not missing:
            tell(f"all {len(found)} were measured before; to do so anew, delete {self.path}")
            return found, failed
        anchor = next(iter(found), None)
        runs: dict[str, Run] = {}
        made: dict[str, Cost] = {}
        for number, name in enumerate([*([anchor] if anchor else []), *missing], start=1):
            tell(f"preparing {name} ({number} of {len(missing) + bool(anchor)})")
            try:
                cost, run = self._prepared(name)
            except MissingExtra:
                raise  # the same for all
            except (
                Exception
            ) as error:  # of torch, ONNX Runtime or another library: told, not hidden
                failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
                continue
            made[name], runs[name] = cost, run
        tell(f"timing {len(runs)} networks in turns")
        taken = timed_in_turns(runs, rounds=self.rounds)
        usual = 1.0
        if anchor in failed:
            tell(f"{failed.pop(anchor)}: new times cannot be held to those of before")
        elif anchor is not None:
            usual = found[anchor].values["ms"] / (1e3 * median(taken[anchor]))
        for name in missing:
            if name in taken:
                found[name] = _with_times(made[name], [1e3 * usual * s for s in taken[name]])
        self._remember(found)
        return {name: found[name] for name in experiments if name in found}, failed

    def again(self, experiment: str, cost: Cost) -> tuple[Cost, float]:
        """What counts from now on, and how many times as long one network took alone.

        The shorter of both times counts: what disturbs a measurement makes it longer.
        """
        _, run = self._prepared(experiment)
        taken = timed_in_turns({experiment: run}, rounds=self.rounds)[experiment]
        alone = _with_times(cost, [1e3 * seconds for seconds in taken])
        better = min(cost, alone, key=lambda one: one.values["ms"])
        self._remember({experiment: better})
        return better, alone.values["ms"] / cost.values["ms"]

    def _prepared(self, experiment: str) -> tuple[Cost, Run]:
        candidate, size = self._built(experiment)
        network = candidate.network
        assert network is not None  # an experiment's is never a file
        image = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
        recalibrate(
            network, [image.repeat(2, 1, 1, 1)]
        )  # else some runtimes are slow, see `Pieces`
        whole = Whole(network, size).eval()
        parameters = count_used_parameters(network)
        with torch.no_grad():
            held = peak_bytes(lambda: whole(image), torch.device("cpu"))
        values = {
            "mb": (4 * parameters + held) / 1e6,
            "gmacs": count(network, image).everything.gmacs,
            "params": parameters / 1e6,
        }
        (run,) = self.runtime.ready([(whole, [image])])
        name, *own = experiment.split()
        config = compose("train", [f"experiment={name}", *self.overrides, *own])
        return Cost(size, values, 0.0, 0.0, network_digest(plain(config.method.network))), run

    def _built(self, experiment: str) -> tuple[Candidate, Size]:
        """The network, at the smallest size that holds the images and that it takes."""
        errors = []
        for size in dict.fromkeys(_rounded_up(self.size, divisor) for divisor in _DIVISORS):
            try:
                kind = {"overrides": self.overrides, "allow": self.allow}
                return from_experiment(experiment, size=size, **kind), size
            except ConfigError as error:
                errors.append(error)
        raise errors[0]

    def _remembered(self) -> dict[str, Cost]:
        """What this machine measured; nothing of other circumstances, or of a damaged file."""
        try:
            own = json.loads(self.path.read_text()).get(self.circumstances, {})
            known = {n: Cost(**{**c, "size": tuple(c["size"])}) for n, c in own.items()}
            numbers = [v for c in known.values() for v in (*c.values.values(), c.low, c.high)]
            if not all(isinstance(number, float | int) for number in numbers):
                raise ValueError("a cost is no number")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is damaged (%s), and is measured anew", self.path, error)
            return {}
        return known

    def _remember(self, found: Mapping[str, Cost]) -> None:
        try:
            everything = json.loads(self.path.read_text())
        except (OSError, ValueError):
            everything = {}
        if not isinstance(everything, dict):
            everything = {}
        own = {**self._remembered(), **found}
        everything[self.circumstances] = {name: asdict(cost) for name, cost in own.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, everything)


def timed_in_turns(runs: Mapping[str, Run], *, rounds: int) -> dict[str, list[float]]:
    """Seconds of each: A B C, A B C, ...; slow ones leave after fewer rounds.

    Short ones run twice, and the second run counts: one that is used alone finds its weights in
    the caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-_WARM_UP, rounds):
        for name, run in runs.items():
            own = taken[name]
            if len(own) >= _LEAST and sum(own) > _LONG:
                continue
            seconds = run()
            if seconds < _SHORT:
                seconds = run()
            if turn >= 0:
                own.append(seconds)
    return taken


@cache
def suite_digest() -> str:
    """Of the suite's code and configs: what a network costs may change with any of them."""
    digest = hashlib.sha256()
    for path in _sources(Path(__file__).parents[1], ".py"):
        digest.update(path.read_bytes())
    for path in _sources(CONF, ".yaml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(folder: Path, suffix: str) -> Iterable[Path]:
    return sorted(path for path in folder.rglob(f"*{suffix}") if "__pycache__" not in path.parts)


def _versions() -> list[str]:
    """Of the libraries that networks are made of, as far as they are installed."""
    return [f"{name} {version(name)}" for name in _LIBRARIES if find_spec(name)]


def _with_times(cost: Cost, milliseconds: Sequence[float]) -> Cost:
    deciles = quantiles(milliseconds, n=10, method="inclusive")
    values = {**cost.values, "ms": median(milliseconds)}
    return Cost(cost.size, values, deciles[0], deciles[-1], cost.network)


def _rounded_up(size: Size, divisor: int) -> Size:
    height, width = (-(-side // divisor) * divisor for side in size)
    return height, width


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
