"""What `probe=` can measure; each gives something to be shown and to be written."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig
from rich.console import Console

from segsuite.core.errors import ConfigError, did_you_mean


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


def probe_of(cfg: DictConfig) -> Probe:
    """The probe that `probe=` names.

    Raises:
        ConfigError: there is none of that name.
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
    if cfg.probe in ("memory", "losses"):
        _refuse_others(cfg)
    return probes[cfg.probe]


def _refuse_others(cfg: DictConfig) -> None:
    """Raises ConfigError for keys of the speed probe that were typed and would not be heeded."""
    typed = {
        "experiments": bool(cfg.experiments),
        "checkpoints": bool(cfg.checkpoints),
        "precision": cfg.precision != "fp32",
        "compile": cfg.compile,
    }
    for key, given in typed.items():
        if given:
            raise ConfigError(
                f"{key}={cfg[key]} is of probe=speed; probe={cfg.probe} has its own keys, "
                f"{', '.join(f'{cfg.probe}.{name}' for name in cfg[cfg.probe])}"
            )
