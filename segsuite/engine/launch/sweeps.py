"""Jobs of a sweep: each is run once, in its own folder, and none that fails stops the others.

A sweep that was killed is resumed by typing it again, because a job's folder is found by its
overrides. Hydra's own launcher runs its jobs in this process. Those that have processes of their
own (joblib, submitit, Ray) start every job as a single run of the entry point: what ends it, be it
for want of memory, ends nothing else, and loaders and further ranks are begun as ever.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from omegaconf import DictConfig, read_write

from segsuite.core.config import CONF
from segsuite.core.errors import SegsuiteError
from segsuite.engine.launch.folders import recorded_result
from segsuite.engine.launch.held import held
from segsuite.engine.launch.ranks import on_main_process
from segsuite.engine.launch.record import differences

log = logging.getLogger(__name__)

_SET_BY_LAUNCHING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
_LAUNCHER = os.getppid()
"""The process that had this one run jobs, where a launcher did."""
_PATIENCE = 5.0
"""Seconds in which a job that was signalled along with its launcher has begun to end."""


class JobFailed(SegsuiteError):
    """One job of a sweep came to nothing; what it said stands in its log."""


def one_job(main: Callable[[DictConfig], Any], cfg: DictConfig, folder: Path, name: str) -> Any:
    """What `main` returns, or what it returned when this job was run before.

    None for a job that has failed, so that Hydra goes on: `sweep_table` tells of it at the end.

    Args:
        name: the entry point.

    Raises:
        JobFailed: where a sweeper that learns from results must be told.
    """
    from hydra.core.hydra_config import HydraConfig

    launcher, sweeper = (HydraConfig.get()[key]["_target_"] for key in ("launcher", "sweeper"))
    try:
        if (result := recorded_result(folder)) is not None:
            log_no_more(folder)
            return _found(result, cfg, folder)
        if launcher.endswith(".BasicLauncher"):
            with _as_single_run(folder):
                return finished_once(main, cfg, folder)
        line = single_run(HydraConfig.get().overrides.task, folder)
        run_as_process(name, line, folder, launcher=_LAUNCHER)
        log_no_more(folder)
        return (recorded_result(folder) or {}).get("optimized")
    except Exception as error:
        if not isinstance(error, JobFailed):  # which its own process has told
            tell_failure(error, folder, name)
        if not sweeper.endswith(".BasicSweeper"):
            raise JobFailed(f"{folder.name} failed: {error}") from None
    return None


def log_no_more(folder: Path) -> None:
    """Takes the log of a job that has finished from this process: what its launcher says of itself
    (submitit does so) belongs elsewhere, and nothing in the folder is to change any more."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        if Path(handler.baseFilename).resolve().is_relative_to(folder.resolve()):
            root.removeHandler(handler)
            handler.close()


def finished_once(main: Callable[[DictConfig], Any], cfg: DictConfig, folder: Path) -> Any:
    """As `main`, while no other process works in the folder; and not when one has finished it."""
    if not on_main_process():  # the first rank has the folder for all of them
        return main(cfg)
    with held(folder):
        result = recorded_result(folder)
        return main(cfg) if result is None else _found(result, cfg, folder)


def _found(result: dict[str, Any], cfg: DictConfig, folder: Path) -> Any:
    """What a job that has finished returned. Told to who reads, and not to the job's log: nothing
    is written in its folder any more."""
    told = [f"has finished before: {result.get('optimized')}"]
    told += [f"was run with another config: {change}" for change in differences(folder, cfg)]
    for line in told:
        print(f"{folder.name} {line}", file=sys.stderr, flush=True)
    return result.get("optimized")


def tell_failure(error: Exception, folder: Path, name: str) -> None:
    """Writes to the job's log why it failed, with the traceback of what is no mistake of a user."""
    from hydra.core.hydra_config import HydraConfig

    from segsuite.engine.launch.mistakes import explain

    paragraph = explain(error, name, HydraConfig.get().overrides.task)
    defect = None if paragraph else error
    log.error("%s failed: %s", folder.name, paragraph or repr(error), exc_info=defect)


def single_run(overrides: Sequence[str], folder: Path | None = None) -> list[str]:
    """The arguments that start a single run with the configs of this process.

    Args:
        folder: that of a job of a sweep, which the run is to be; None for further ranks, which
            Lightning tells.
    """
    from segsuite.engine.launch.typed import quoted

    arguments = [*config_flags(), *overrides, "hydra.mode=RUN"]  # a sweep's file has it otherwise
    if folder is not None:
        arguments += [f"run.sweep={quoted(folder.parent.name)}", f"run.label={quoted(folder.name)}"]
        arguments += [f"hydra.run.dir={quoted(str(folder))}"]
    return arguments


def config_flags() -> list[str]:
    """What was typed of where configs are, such as `--config-dir FOLDER`."""
    from hydra.core.hydra_config import HydraConfig

    cfg, arguments = HydraConfig.get(), []
    for source in cfg.runtime.config_sources:
        flag = {"command-line": "--config-dir", "main": "--config-path"}.get(source.provider)
        if flag and source.path != str(CONF):
            arguments += [flag, source.path]
    if cfg.job.config_name != cfg.job.name:
        arguments += ["--config-name", cfg.job.config_name]
    return arguments + [o for o in cfg.overrides.hydra if o.startswith("hydra.searchpath=")]


def run_as_process(
    name: str, arguments: list[str], folder: Path, *, launcher: int | None = None
) -> None:
    """Runs an entry point in a process of its own, in the folder of a job, to its end.

    Args:
        launcher: the process that started this one; the job saves and ends when that is killed.

    Raises:
        JobFailed: it ended with another exit code than 0; what it said stands in its log.
    """
    if launcher not in (None, os.getppid()):
        raise JobFailed(f"{folder.name} was not begun: its sweep has been killed")
    process = Popen(
        [sys.executable, "-m", f"segsuite.{name}", *arguments],
        # Without what the launching process has set for itself, `entry_point._errors_pass_hydra`.
        env={key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"},
        # submitit's sign that the time is up is for its own process, which lets this one save.
        preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
    )
    try:
        while (code := _ended(process, timeout=1)) is None:
            if launcher not in (None, os.getppid()):
                process.terminate()
                launcher = None
    except BaseException as stop:
        # A terminal signals all processes, and so do most schedulers.
        if _ended(process, timeout=_PATIENCE) is None and getattr(stop, "number", 0) != 2:
            process.terminate()
        process.wait()
        raise
    if code == 0:
        return
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        by = ", mostly the system's, for want of memory" if number == signal.SIGKILL else ""
        log.error("%s failed: its process was ended by signal %s%s", folder.name, number, by)
    raise JobFailed(f"{folder.name} failed: its process ended with exit code {code}")


def _ended(process: Popen, *, timeout: float) -> int | None:
    try:
        return process.wait(timeout)
    except TimeoutExpired:
        return None


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
    sys.argv = [argv[0], *single_run(HydraConfig.get().overrides.task)]
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


def _leave_process_group() -> None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
