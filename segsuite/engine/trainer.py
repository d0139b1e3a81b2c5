"""Lightning's trainer, quiet, with its refusals in our words."""

import logging
import os
import warnings
from collections.abc import Mapping
from typing import Any

from lightning import Trainer
from lightning.pytorch.accelerators import CPUAccelerator

from segsuite.core.build import build
from segsuite.core.errors import ConfigError, raised_in
from segsuite.engine.launch.exhausted import LostProcesses
from segsuite.engine.launch.ranks import launched
from segsuite.engine.launch.settings import check_trainer


def built_trainer(
    settings: Mapping[str, Any], *, allow: tuple[str, ...] = (), **given: Any
) -> Trainer:
    """Lightning's trainer.

    Args:
        allow: import prefixes of other people's packages.

    Raises:
        ConfigError: settings that do not go together, or hardware that is not there.
    """
    check_trainer(settings)
    devices = settings.get("devices", "auto")
    try:
        trainer = build(settings, path="trainer", allow=allow, **given)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, ConfigError) else error
        if not raised_in(cause, "lightning."):  # already told, or a defect of ours
            raise
        said = " ".join(str(cause).split()).rstrip(".!")
        usual = settings.get("accelerator", "auto") in ("auto", "cpu") and devices == 1
        hint = "" if usual else ". trainer=default takes the hardware that there is"
        raise ConfigError(f"the trainer says: {said}{hint}") from cause
    launcher, count = launched()
    if trainer.world_size != count > 1:
        raise ConfigError(
            f"{launcher} has started this {count} times, but the trainer is one of "
            f"{trainer.world_size}; type trainer=ddp (or ddp_cpu), with trainer.devices= the "
            "processes of each machine and trainer.num_nodes= the machines"
        )
    cores = _cores()
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > max(cores, 2):
        raise ConfigError(
            f"trainer.devices={devices} are as many processes, but there are {cores} cores for "
            f"them; type trainer.devices={cores}, or trainer=cpu for one process"
        )
    return trainer


def _cores() -> int:
    """The cores that this process may use, which a scheduler or container may have made fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quiet() -> None:
    """Keeps Lightning to what matters: tips, and a warning about its own code, do not."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning", "torch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    LostProcesses.listen()
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
