"""An entry point called from Python: as from a command line, but it raises and leaves no trace."""

import json
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segsuite.core.config import as_today
from segsuite.core.errors import ConfigError, SegsuiteError
from segsuite.engine.launch import entry_point
from segsuite.engine.launch.exhausted import exhaustion_explained
from segsuite.engine.launch.ranks import launched
from segsuite.engine.launch.record import leaves
from segsuite.engine.launch.resolvers import run_folder
from segsuite.engine.launch.run import Run
from segsuite.engine.launch.start import Start
from segsuite.engine.launch.typed import as_text, check_spelling, read_override

Given = Sequence[str | DictConfig]
"""Overrides as they are typed, or one config that `composed` gave."""
_Choices = Mapping[str, str | None]


@contextmanager
def called(main: Callable[[], None], given: Given) -> Iterator[Run]:
    """The run that an entry point would make of these overrides; the block does what it does.

    The run has a folder of its own below `paths.logs`, which is made when something is written, and
    its overrides stand in its record. Random states, threads, levels of logging and handlers of
    signals are afterwards what they were before.

    Args:
        main: an entry point.
        given: overrides, or one config.

    Raises:
        ConfigError: what was asked for does not fit, in the entry point's words.
        KeyboardInterrupt: Ctrl-C; a training saves first, and says where.
    """
    start: Start = main.start
    stopped = None
    with _kept():  # from here on, since some libraries draw when they are imported
        cfg, choices, typed = _asked(start, given)
        with _told(start.name, typed):
            _check_processes(cfg, start.name)
            named = (cfg.paths.logs, start.name, cfg.get("name"), choices)
            folder = Path(run_folder(*named, cfg.get("resume", False)))
            start.fill_in(cfg, folder, choices=choices, typed=typed)
            run = Run(cfg)
            try:
                with entry_point.signals_raise(), exhaustion_explained(cfg, folder):
                    start.check(cfg, choices=choices, typed=typed)
                    yield run
            except entry_point.Interrupted as stop:
                stopped = stop.number
    if stopped is not None:
        entry_point.say(entry_point.after_interrupt(run.folder, start.goes_on_from))
        signal.raise_signal(stopped)  # for whoever handles it here
        raise KeyboardInterrupt


def composed(main: Callable[[], None], overrides: Sequence[str]) -> DictConfig:
    """The config that `called` would run, to be looked at, changed and given to it.

    Raises:
        ConfigError: an override does not fit.
    """
    cfg, choices, typed = _of_overrides(main.start, overrides)
    main.start.fill_in(cfg, None, choices=choices, typed=typed)
    return cfg


def _asked(start: Start, given: Given) -> tuple[DictConfig, _Choices, list[str]]:
    """A config, what was chosen of each group, and the overrides as Hydra reads them."""
    of_config = len(given) == 1 and isinstance(given[0], DictConfig)
    return _of_config(start, given[0]) if of_config else _of_overrides(start, given)


def _of_overrides(start: Start, given: Given) -> tuple[DictConfig, _Choices, list[str]]:
    overrides = list(given)
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(
                f"{override!r:.80} is no override; give text such as 'seed=1', or one config of "
                "segsuite.api.compose alone"
            )
        if override.startswith(("-", "hydra.")) and not override.startswith("hydra.searchpath="):
            raise ConfigError(f"`{override}` is of the command line; leave it out from Python")
    check_spelling(overrides)
    with _told(start.name, overrides):
        try:
            if start.prepare is not None:
                overrides = start.prepare(as_text(overrides, start.name, composes=False))
            typed = as_today(as_text(overrides, start.name), start.name)
            _check_one_value(typed)
            cfg, choices = entry_point.composed_and_chosen(start.name, typed)
        finally:
            _forget_checkpoint()
    return cfg, choices, typed


def _check_one_value(typed: Sequence[str]) -> None:
    """Raises ConfigError for several values of a key, which would be a sweep."""
    for override in typed:
        if (read := read_override(override)) is not None and read.is_sweep_override():
            raise ConfigError(
                f"`{override}` gives several values, and a call is one run; call it once for each, "
                "or put [brackets] around a list"
            )


def _of_config(start: Start, given: DictConfig) -> tuple[DictConfig, _Choices, list[str]]:
    """Of one that was composed; what was changed of it since counts as overrides."""
    typed = OmegaConf.select(given, "run.typed") or []
    fresh, choices, typed = _of_overrides(start, list(typed))
    if given.keys() != fresh.keys():
        raise ConfigError(
            f"this config is not one of segsuite.{start.name}; make one by "
            f'segsuite.api.compose("{start.name}", ...)'
        )
    then, now = _settings(fresh), _settings(given)
    changed = [f"{key}={_as_typed(v)}" for key, v in now.items() if (key, v) not in then.items()]
    taken = [f"~{key}" for key in then if key not in now]
    return deepcopy(given), choices, [*typed, *changed, *taken]


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """Everything but what a start fills in, by dotted keys, with interpolations as they stand."""
    there = leaves(OmegaConf.to_container(cfg, resolve=False))
    return {key: value for key, value in there if key != "name" and not key.startswith("run.")}


def _as_typed(value: Any) -> str:
    """A value as an override has it: `null`, `true`, `[64,64]`, text."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _forget_checkpoint() -> None:
    """Takes away what `prepare` laid where Hydra finds it: the next call may have no checkpoint."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().repo.get("checkpoint", {}).pop("loaded.yaml", None)


def _check_processes(cfg: DictConfig, name: str) -> None:
    """Raises ConfigError where a trainer would share its work with other processes: Lightning would
    start this whole program again for each, and those of torchrun would have one folder."""
    devices, (launcher, count) = OmegaConf.select(cfg, "trainer.devices"), launched()
    one = devices in (None, 1, "1") or (OmegaConf.is_list(devices) and len(devices) == 1)
    if "trainer" not in cfg or (one and count == 1):
        return
    said = f"{launcher} has started this {count} times" if one else f"trainer.devices={devices}"
    raise ConfigError(
        f"{said}: from Python there is one process; type python -m segsuite.{name} for several, or "
        "leave trainer.devices=1"
    )


@contextmanager
def _told(name: str, typed: Sequence[str]) -> Iterator[None]:
    """Mistakes that libraries tell of become the sentences that entry points print."""
    try:
        yield
    except SegsuiteError:
        raise
    except Exception as error:
        from segsuite.engine.launch.mistakes import explain

        if (paragraph := explain(error, name, typed)) is None:
            raise
        raise ConfigError(paragraph) from error


@contextmanager
def _kept() -> Iterator[None]:
    """Puts back what a run sets for the whole process."""
    import torch

    from segsuite.core.seeding import capture, restore

    states, threads = capture(), torch.get_num_threads()
    known = map(logging.getLogger, list(logging.root.manager.loggerDict))
    levels = {logger: logger.level for logger in known}
    try:
        yield
    finally:
        restore(states)
        torch.set_num_threads(threads)
        for logger, level in levels.items():
            logger.setLevel(level)
