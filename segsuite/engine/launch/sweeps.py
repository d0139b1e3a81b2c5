"""Jobs of a sweep: finished ones are not run again, distributed ones start as single runs.

A sweep that was killed is resumed by typing it again, because a job's folder is found by its
overrides.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, read_write

from segsuite.engine.launch.folders import recorded_result
from segsuite.engine.launch.record import differences

log = logging.getLogger(__name__)

_SET_BY_LAUNCHING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")


def one_job(main: Callable[[DictConfig], Any], cfg: DictConfig, folder: Path) -> Any:
    """What `main` returns, or what it returned when this job was run before."""
    result = recorded_result(folder)
    if result is not None:
        log.info("%s has finished before: %s", folder.name, result.get("optimized"))
        for change in differences(folder, cfg):
            log.warning("%s was run with another config: %s", folder.name, change)
        return result.get("optimized")
    with _as_single_run(folder):
        return main(cfg)


@contextmanager
def _as_single_run(folder: Path) -> Iterator[None]:
    """Makes the processes that Lightning starts for further ranks join this job alone.

    They are started with this process's command line, whose `-m` would make each of them begin a
    sweep of its own; and what they leave in the environment would make the next job take itself
    for one of them.
    """
    from hydra.core.hydra_config import HydraConfig

    argv, environment = sys.argv, {k: os.environ[k] for k in _SET_BY_LAUNCHING if k in os.environ}
    hydra_config = HydraConfig.instance().cfg
    sys.argv = [argv[0], *_config_flags(argv[1:]), *HydraConfig.get().overrides.task]
    with read_write(hydra_config.hydra):  # where Lightning looks for the folder to pass on
        hydra_config.hydra.run.dir = str(folder)
    try:
        yield
    finally:
        sys.argv = argv
        _leave_process_group()
        for key in _SET_BY_LAUNCHING:
            os.environ.pop(key, None)
        os.environ.update(environment)


def _config_flags(arguments: list[str]) -> list[str]:
    """The flags that say where configs are, such as `--config-dir DIR`."""
    known = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")
    flags = pairwise(["", *arguments])
    return [a for before, a in flags if before in known or a.partition("=")[0] in known]


def _leave_process_group() -> None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
