"""Processes that torchrun or srun has started: one run in one folder. Imports nothing heavy."""

import os
from collections.abc import Sequence
from datetime import datetime

from segsuite.core.config import CONF
from segsuite.core.errors import ConfigError

_LAUNCHERS = {
    "torchrun": ("TORCHELASTIC_RUN_ID", "WORLD_SIZE"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
}
"""The variables by which a launcher is known, and by which it says how many it has started."""


def on_main_process() -> bool:
    """False on the further ranks of a distributed run."""
    ranks = ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
    return all(os.environ.get(rank, "0") in ("", "0") for rank in ranks)


def launched() -> tuple[str, int]:
    """The launcher that has started several of this process, and how many; ("", 1) without one."""
    for launcher, (mark, count) in _LAUNCHERS.items():
        if mark in os.environ and os.environ.get(count, "1") != "1":
            return launcher, int(os.environ[count])
    return "", 1


def as_rank(arguments: Sequence[str], name: str) -> list[str]:
    """The command line of this process; a further rank leaves what Hydra writes to the first.

    Raises:
        ConfigError: each process would make a run, or a sweep, of its own.
    """
    launcher, count = launched()
    sweeping = {"-m", "--multirun"} & {*arguments}
    if count == 1:
        return [*arguments]
    if launcher == "mpirun" or sweeping or not _has_ranks(name):
        if not on_main_process():
            raise SystemExit(2)  # the first one tells
        flag, whose = ("-m ", ", in each job") if sweeping else ("", "")
        raise ConfigError(
            f"{launcher} has started this {count} times; start it once, without {launcher}: "
            f"python -m segsuite.{name} {flag}trainer=ddp starts a process for each GPU of the "
            f"machine by itself{whose}"
        )
    if on_main_process():
        return [*arguments]
    logging = (
        [] if any("hydra/job_logging" in a for a in arguments) else ["hydra/job_logging=stdout"]
    )
    return [*arguments, "hydra.output_subdir=null", *logging]


def _has_ranks(name: str) -> bool:
    """Whether an entry point has a trainer, whose ranks share its work."""
    return "  - trainer: " in (CONF / f"{name}.yaml").read_text(encoding="utf-8")


def begun() -> str:
    """The name of a new run's folder: the time to the microsecond, the same for all its ranks.

    Those of torchrun ask its own store, which outlives a restart of the workers: they go on in
    their folder. Those of Slurm have the numbers of job and step, the same when queued again.

    Raises:
        ConfigError: torchrun was told to keep its store to itself.
    """
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
    launcher, _ = launched()
    if launcher == "srun":
        return f"slurm-{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', '0')}"
    if launcher != "torchrun":
        return now
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        raise ConfigError("torchrun's ranks cannot agree on a folder; type hydra.run.dir=FOLDER")
    from torch.distributed import TCPStore

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return store.compare_set("segsuite/begun", "", now).decode()
