"""What every entry point shares: Hydra, clean errors, run folders, sweeps that can be typed again.

    @entry_point("train")
    def main(cfg: DictConfig) -> float | None: ...

Imports nothing heavy, so that `--help` and tab completion answer at once.
"""

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segsuite.core import config
from segsuite.core.errors import ConfigError, SegsuiteError
from segsuite.engine.launch import folders, resolvers
from segsuite.engine.launch.exhausted import exhaustion_explained
from segsuite.engine.launch.positional import paths_as_list
from segsuite.engine.launch.ranks import as_rank, on_main_process
from segsuite.engine.launch.start import Start
from segsuite.engine.launch.typed import as_text, check_spelling, typed_overrides

# At import, not in a function: launchers such as joblib unpickle jobs in processes of their own,
# where a job's folder is resolved before any code of ours is called.
resolvers.register()

log = logging.getLogger(__name__)

_BRIEF = {"-c", "--cfg", "-i", "--info", "-sc", "--shell-completion", "--hydra-help", "--version"}
"""Flags that are answered at once, so that nothing is said of what is imported."""

Main = Callable[[DictConfig], Any]


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM came. No Exception, so that nobody takes it for a file that is broken.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by signal {number}")
        self.number = number


def entry_point(
    name: str,
    *,
    prepare: Callable[[list[str]], list[str]] | None = None,
    goes_on_from: Path | None = None,
    positional: str | None = None,
) -> Callable[[Main], Callable[[], None]]:
    """Turns `main(cfg)` into a command-line entry point with the config `conf/<name>.yaml`.

    Mistakes of the user (`SegsuiteError`, misspelt overrides) end in one paragraph on stderr and
    exit code 2, Ctrl-C in 130 and SIGTERM in 143; everything else keeps its traceback.
    `HYDRA_FULL_ERROR=1` keeps every traceback.

    Args:
        prepare: may replace the command line's arguments before Hydra reads them.
        goes_on_from: the file in a run's folder that a run goes on from with resume=true; None
            where it cannot. Its config needs `resume: false`, and `main` writes the note by
            `record.write_start`.
        positional: the key of the list that paths without a key go to; None where there is none.
    """

    start = Start(name=name, prepare=prepare, goes_on_from=goes_on_from)

    def decorate(main: Main) -> Callable[[], None]:
        full = os.environ.get("HYDRA_FULL_ERROR") == "1"

        @functools.wraps(main)
        def job(cfg: DictConfig) -> Any:
            return _run_job(main, cfg, start, full)

        @functools.wraps(main)
        def entry() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                from segsuite.engine.launch.help import help_text

                _print_to_whom_reads(help_text(name, main.__doc__ or ""))
                return
            _say_that_it_loads(name)
            from segsuite.engine.launch.sweep_table import ending_with_a_table, swept_noted

            with _one_paragraph_errors(name, full), _errors_pass_hydra():
                sys.argv[1:] = _config_dir_first(as_rank(sys.argv[1:], name))
                if positional is not None:
                    sys.argv[1:] = paths_as_list(sys.argv[1:], positional)
                check_spelling(sys.argv[1:])
                if prepare is not None:
                    sys.argv[1:] = prepare(as_text(sys.argv[1:], name, composes=False))
                sys.argv[1:] = config.as_today(as_text(sys.argv[1:], name), name)
                sys.argv[1:] = swept_noted(sys.argv[1:])
                with ending_with_a_table():
                    _hydra(name)(job)()

        entry.start = start
        return entry

    return decorate


def _config_dir_first(arguments: list[str]) -> list[str]:
    """The arguments with `--config-dir FOLDER` before all settings: Hydra's parser takes no flag
    with settings on both sides of it."""
    flags, others, left = [], [], iter(arguments)
    for argument in left:
        if argument in ("--config-dir", "-cd"):
            flags += [argument, *([value] if (value := next(left, None)) is not None else [])]
        elif argument.startswith("--config-dir="):
            flags.append(argument)
        else:
            others.append(argument)
    return [*flags, *others]


def _print_to_whom_reads(text: str) -> None:
    """Prints; a reader that has had enough, such as `head`, is no mistake."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again


def compose(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config that an entry point would get for these overrides, without running it.

    Raises:
        ConfigError: an override does not fit.
    """
    return composed_and_chosen(name, as_text(overrides, name))[0]


def composed_and_chosen(
    name: str, overrides: Sequence[str]
) -> tuple[DictConfig, dict[str, str | None]]:
    """As `compose`, and what was chosen of each group; of overrides that are quoted as needed."""
    from hydra.errors import HydraException

    from segsuite.engine.launch.mistakes import explain, no_choice

    try:
        cfg, choices = config.composed_and_chosen(name, overrides)
    except HydraException as error:
        # Without Hydra's traceback, which would be the longer part of a notebook.
        raise ConfigError(explain(error, name, overrides)) from None
    except (ValueError, TypeError):
        if (said := no_choice(overrides)) is None:
            raise
        raise ConfigError(said) from None
    config.check_choices(choices)
    return cfg, choices


def _hydra(name: str) -> Callable[[Main], Main]:
    import hydra

    config.register_bare_names()
    return hydra.main(version_base="1.3", config_path=str(config.CONF), config_name=name)


def _run_job(main: Main, cfg: DictConfig, start: Start, full: bool) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra_config = HydraConfig.get()
    folder, choices = Path(hydra_config.runtime.output_dir), hydra_config.runtime.choices
    typed = OmegaConf.to_container(hydra_config.overrides.task)  # `${...}` as it was typed
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    start.fill_in(cfg, folder, choices=choices, typed=typed, sweeping=sweeping)
    # Of a sweep: one of its jobs in this process, or one that has a process for itself.
    is_job = sweeping or OmegaConf.select(cfg, "run.sweep") is not None

    def job(cfg: DictConfig) -> Any:
        start.check(cfg, choices=choices, typed=typed)
        with exhaustion_explained(cfg, folder):
            return main(cfg)

    try:
        # Within Hydra and not around it, which would print a headline of its own above ours.
        logs = OmegaConf.select(cfg, "paths.logs") or folder
        left = nullcontext() if is_job else _nothing_left_of_refusals(folder, logs)
        with left, signals_raise():
            if sweeping:
                from segsuite.engine.launch.sweeps import one_job

                return one_job(job, cfg, folder, start.name)
            with _one_paragraph_errors(start.name, full):
                return _as_job(job, cfg, folder, start.name) if is_job else job(cfg)
    except Interrupted as stop:
        say(after_interrupt(folder, start.goes_on_from, sweeping=is_job))
        # Not an Exception: a sweep must stop here too, and not start its next job.
        sys.exit(128 + stop.number)


def after_interrupt(folder: Path, goes_on_from: Path | None, *, sweeping: bool = False) -> str:
    """What is left of a run that was interrupted, and how it goes on."""
    if goes_on_from is None:
        return "interrupted"
    if not (folder / goes_on_from).exists():
        return "interrupted before there was anything to save"
    again = "again" if sweeping else "with resume=true"
    return f"interrupted; saved in {folder / goes_on_from}. To go on, type the same command {again}"


@contextmanager
def signals_raise() -> Iterator[None]:
    """Ctrl-C and SIGTERM become `Interrupted`; training finishes its iteration (`Interrupts`).

    Lightning would end a test by Ctrl-C with exit code 1 and no word, and overhear a SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_job(main: Main, cfg: DictConfig, folder: Path, name: str) -> Any:
    """A job of a sweep that has this process for itself, see `sweeps.run_as_process`."""
    from segsuite.engine.launch.sweeps import finished_once, tell_failure

    try:
        return finished_once(main, cfg, folder)
    except Exception as error:
        tell_failure(error, folder, name)
        raise


@contextmanager
def _nothing_left_of_refusals(folder: Path, logs: str) -> Iterator[None]:
    """A mistake changes nothing on disk; what Hydra has begun by then goes again.

    What was in the folder before stays, and so does the log of a run that was interrupted.
    """
    ours = on_main_process() and folders.begun_by_hydra(folder)
    try:
        yield
    except (SegsuiteError, SystemExit) as stop:
        if ours and getattr(stop, "code", 2) == 2:
            folders.discard_if_bare(folder, up_to=logs)
        raise


@contextmanager
def _one_paragraph_errors(name: str, full: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted before there was anything to save")
        sys.exit(130)
    except Exception as error:
        from segsuite.engine.launch.mistakes import explain

        paragraph = explain(error, name, typed_overrides(sys.argv[1:]))
        if full or paragraph is None:
            raise
        say(f"error: {paragraph}", everywhere=True)
        sys.exit(2)


@contextmanager
def _errors_pass_hydra() -> Iterator[None]:
    """Keeps Hydra from printing errors in its own way and exiting."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # repeats failed imports
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before


def _say_that_it_loads(name: str) -> None:
    """Says what the next seconds are spent on, where they are: a silent start looks like none."""
    if "torch" not in sys.modules and on_main_process() and not _BRIEF & set(sys.argv[1:]):
        print(
            f"segsuite.{name}: importing torch and Lightning (up to a minute at the first start)",
            file=sys.stderr,
            flush=True,
        )


def say(text: str, *, everywhere: bool = False) -> None:
    """Tells the user.

    Args:
        everywhere: whether further processes of a distributed run speak too, of which one alone may
            fail.
    """
    if on_main_process():
        print(f"segsuite: {text}", file=sys.stderr, flush=True)
    elif everywhere:
        rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK")
        print(f"segsuite (process {rank}): {text}", file=sys.stderr, flush=True)
