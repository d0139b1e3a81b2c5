"""What `probe=` can measure; each gives something to be shown and to be written."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from omegaconf import DictConfig
from rich.console import Console

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.hints import Between
from segsuite.engine.settings import check_values

_COMMON = {"probe", "name", "threads", "overrides", "allow", "paths", "run", "hydra"}
_NETWORKS = {"experiments", "checkpoints", "data", "pictures", "seed"}
_TIMING = {"rounds", "warm_up", "device"}

_Count = Annotated[int, Between(1)]
_Sides = tuple[_Count, _Count]
_KEYS = {
    "experiments": Sequence[str],
    "checkpoints": Sequence[str],
    "overrides": Sequence[str],
    "size": _Sides,
    "pictures": _Count,
    "batch_sizes": Sequence[_Count],
    "rounds": _Count,
    "warm_up": Annotated[int, Between(0)],
    "device": Literal["auto", "cpu", "cuda"],
    "threads": _Count | None,
    "precision": Literal["fp32", "bf16"],
    "compile": bool,
}
_KEYS_OF = {
    "memory": {
        "classes": Sequence[_Count],
        "size": _Sides,
        "measured_at": _Sides | None,
        "batch": _Count,
        "gigabytes": Annotated[float, Between(0)],
    },
    "losses": {"classes": Sequence[_Count], "side": _Count, "dim": _Count},
    "runtimes": {
        "names": Sequence[str],
        "sizes": Sequence[_Sides],
        "frames": _Count,
        "warm_up": Annotated[int, Between(0)],
        "calibration": _Count,
        "least": _Count,
    },
}
_HEEDED = {
    "speed": {*_NETWORKS, *_TIMING, "size", "batch_sizes", "precision", "compile", "accuracy"},
    "memory": {"memory", "device"},
    "losses": {*_TIMING, "losses"},
    "runtimes": {*_NETWORKS, "runtimes"},
}
"""Of the keys of conf/benchmark.yaml, those that each probe looks at beside the common ones."""


class Measured(Protocol):
    """What a probe found."""

    def show(self, console: Console, folder: Path) -> None:
        """Prints tables, writes pictures."""
        ...

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; without `parts`, short enough for one line."""
        ...


class Probe(Protocol):
    """Measures what the config names; is told which data were typed, and tells what it does."""

    def __call__(
        self, cfg: DictConfig, *, data_overrides: Sequence[str], tell: Callable[[str], None]
    ) -> Measured: ...


def probe_of(cfg: DictConfig, typed: Sequence[str] = ()) -> Probe:
    """The probe that `probe=` names.

    Args:
        typed: the overrides on the command line.

    Raises:
        ConfigError: there is none of that name, or something was typed that it does not look at.
    """
    from segsuite.bench.comparison import compare
    from segsuite.bench.loss_cost import compare_losses
    from segsuite.bench.runtimes import compare_runtimes
    from segsuite.bench.training_memory import compare_memory

    probes: dict[str, Probe] = {
        "speed": compare,
        "memory": compare_memory,
        "losses": compare_losses,
        "runtimes": compare_runtimes,
    }
    if cfg.probe not in probes:
        known = ", ".join(probes)
        near = did_you_mean(cfg.probe, probes)
        raise ConfigError(f"probe={cfg.probe} is not one of {known}{near}")
    for override in typed:
        key = override.lstrip("+~").partition("=")[0]
        if re.split(r"[./@]", key)[0] not in _COMMON | _HEEDED[cfg.probe]:
            own = [f"{cfg.probe}.{key}" for key in _KEYS_OF.get(cfg.probe, ())]
            heeded = ", ".join([*own, *sorted(_HEEDED[cfg.probe] - {cfg.probe})])
            raise ConfigError(
                f"{override} would change nothing: probe={cfg.probe} looks at {heeded} (and "
                "threads, overrides, allow)"
            )
    _check_accuracy(typed)
    check_values(cfg, _KEYS)
    check_values(cfg.accuracy, {"pictures": Annotated[int, Between(0)] | None}, "accuracy.")
    if cfg.probe in _KEYS_OF:
        check_values(cfg[cfg.probe], _KEYS_OF[cfg.probe], f"{cfg.probe}.")
    return probes[cfg.probe]


def _check_accuracy(typed: Sequence[str]) -> None:
    """Raises ConfigError for a limit on what is not measured."""
    keys = [re.split(r"[./@=]", override.lstrip("+~"))[0] for override in typed]
    if "accuracy" in keys and not {"checkpoints", "data"} <= {*keys}:
        raise ConfigError(
            f"{typed[keys.index('accuracy')]} would change nothing: the mIoU is that of "
            "checkpoints=[FILE] on the data that are typed, data=NAME data.root=FOLDER"
        )
