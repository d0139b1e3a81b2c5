"""Where the config folder is, and what Hydra makes of it. Imports nothing heavy."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, flag_override

from segsuite.core import moved
from segsuite.core.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""Inside the package when installed, beside it in a checkout."""


_OLD_LOSS = re.compile(r"^[+~]*method\.task\.loss\.")
"""Where the mobile family's loss stood; today all families have it at `method.loss`."""

_OLD_IMAGES = re.compile(
    r"^([+~]*(?:(?:accuracy|parity|calibration|callbacks|callbacks\.speed)\.)?)pictures(?=[.=@]|$)"
)
"""What is called images today, at the top of an entry point's own keys and in these groups."""

_OLD_PROBE = re.compile(r"^([+~]*)(memory|losses|runtimes)\.")
"""Where the settings of a probe stood; today those of the chosen one are at `probe`."""

_OF_LOSSES = re.compile(r"^(?=method\.loss\.(class_weights|ohem|ohem_kept|dice)=)")
"""Settings that our losses take, but that stand in no file: other people's need not take them."""


def as_today(overrides: Sequence[str], name: str) -> list[str]:
    """The overrides of the config `name` with keys that have moved at their present place.

    A whole loss of one's own is put where it was, in place of what stands there. Settings of losses
    that stand in no file are added to what does.
    """
    overrides = [_OLD_IMAGES.sub(r"\1images", override) for override in overrides]
    if name == "benchmark":
        return _of_the_probe(overrides)
    if not _has_a_method(name):
        return list(overrides)
    overrides = [_in_its_group(override) for override in overrides]
    whole = any(re.match(r"^[+]*method\.task\.loss\._target_=", override) for override in overrides)
    if whole:
        return [_OLD_LOSS.sub("++method.task.loss.", override) for override in overrides]
    moved = [re.sub(r"^([+~]*)method\.task\.loss\.", r"\1method.loss.", o) for o in overrides]
    return [_OF_LOSSES.sub("++", override) for override in moved]


def _in_its_group(override: str) -> str:
    """A choice from a family's folder, as shells complete it: `method/head/mobile=dpc`."""
    typed = re.match(r"([+~]*)(method/\w+)/(\w+)=(.*)", override)
    if typed is None or typed[3] not in _folders(typed[2]).values():
        return override
    names = ",".join(f"{typed[3]}/{name}" for name in typed[4].split(","))
    return f"{typed[1]}{typed[2]}={names}"


def chosen_probe(overrides: Sequence[str]) -> str:
    """The probe that a benchmark's overrides choose, or else the one that it has by default."""
    return [o.partition("=")[2] for o in ("probe=speed", *overrides) if o.startswith("probe=")][-1]


def _of_the_probe(overrides: Sequence[str]) -> list[str]:
    """The overrides of a benchmark with the settings of its probe where they stand today.

    Raises:
        ConfigError: a setting is another probe's.
    """
    chosen = chosen_probe(overrides)
    for override in overrides:
        old = _OLD_PROBE.match(override)
        if old and old[2] != chosen:
            raise ConfigError(
                f"{override} would change nothing: probe={chosen} does not look at it; type "
                f"probe={old[2]} too"
            )
    return [_OLD_PROBE.sub(r"\1probe.", override) for override in overrides]


def _has_a_method(name: str) -> bool:
    """Whether a config is of one method, its own or that of a checkpoint."""
    path = CONF / f"{name}.yaml"
    of_one = re.compile(r"^  - (method|optional checkpoint@_global_): ", re.MULTILINE)
    return path.is_file() and of_one.search(path.read_text(encoding="utf-8")) is not None


def composed(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config `name` with these overrides, within an entry point and outside of one.

    Raises:
        HydraException: an override does not fit.
    """
    return composed_and_chosen(name, overrides)[0]


def looked_at(name: str, overrides: tuple[str, ...]) -> DictConfig:
    """As `composed`, for those who do not write to it: the last ones are kept.

    What is asked of a config before it is composed leaves out the numbers that were typed, so that
    runs that differ by numbers ask the same.
    """
    from hydra.core.global_hydra import GlobalHydra

    # Files of one's own may change from one call to the next, and so does whose checkpoint it is.
    if has_a_checkpoint(name) or any("hydra.searchpath" in override for override in overrides):
        return composed(name, overrides)
    return _kept(name, overrides, GlobalHydra.instance().hydra)


def has_a_checkpoint(name: str) -> bool:
    """Whether a config takes in that of a checkpoint."""
    path = CONF / f"{name}.yaml"
    return path.is_file() and "optional checkpoint@" in path.read_text(encoding="utf-8")


@lru_cache(maxsize=8)
def _kept(name: str, overrides: tuple[str, ...], hydra: Any) -> DictConfig:
    """Of the Hydra that is running, if one is: it may know further folders."""
    del hydra
    return composed(name, overrides)


def composed_and_chosen(
    name: str, overrides: Sequence[str] = ()
) -> tuple[DictConfig, dict[str, str | None]]:
    """As `composed`, and what was chosen of each group, such as `method/head: dpc`."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register_bare_names()
    if GlobalHydra.instance().is_initialized():  # within an entry point, Hydra is there already
        cfg = compose(name, as_today(overrides, name), return_hydra_config=True)
    else:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            cfg = compose(name, as_today(overrides, name), return_hydra_config=True)
    choices = dict(cfg.hydra.runtime.choices)
    with flag_override(cfg, ["struct", "readonly"], [False, False]):
        del cfg["hydra"]
    return cfg, choices


def options(group: str) -> list[str]:
    """What can be chosen of a config group, by bare names: `dpc` for `mobile/dpc`."""
    return sorted(_folders(group))


@lru_cache
def parts_of(method: str) -> dict[str, str]:
    """The parts that a method has by default, such as `{"method/head": "mobile/dpc"}`.

    One that begins as another does, by `- hyctas`, has that one's too.
    """
    text = (CONF / "method" / f"{method}.yaml").read_text(encoding="utf-8")
    begun = re.findall(r"^  - (\w+)$", text, re.MULTILINE)
    own = re.findall(r"^  - ([\w/]+): (\S+)", text, re.MULTILINE)
    above = {g: c for one in begun if one != "_self_" for g, c in parts_of(one).items()}
    return above | {f"method/{g}": c for g, c in own}


def methods_of(group: str, choice: str) -> list[str]:
    """The methods that a part of this suite fits; none where it is other people's.

    They have its group, and by default parts of its folder; a part beside the folders fits all.
    """
    name = choice.rpartition("/")[2]
    folder = _folders(group).get(name)
    if folder is None or choice not in (name, f"{folder}/{name}"):
        return []
    return [m for m in options("method") if group in parts_of(m) and folder in _folders_of(m)]


def check_choices(choices: Mapping[str, str | None]) -> None:
    """Raises ConfigError for a part that was made for other methods than the one chosen."""
    method = choices.get("method")
    if method not in options("method"):  # other people's, which may fit whatever it likes
        return
    for group, choice in choices.items():
        methods = methods_of(group, choice) if isinstance(choice, str) else []
        if not methods or method in methods:
            continue
        fitting = [option for option in options(group) if method in methods_of(group, option)]
        typed = f"type {group}={'|'.join(fitting)}" if fitting else f"leave {group} out"
        raise ConfigError(
            f"{group}={choice} fits method={'|'.join(methods)}, not method={method}; {typed}"
        )


def register_bare_names() -> None:
    """Has Hydra take a family's parts by their bare names too: `method/head=dpc`; and sweeps by
    those that they had before.

    As configs of its store and not by other overrides, so that they complete, are swept over, stand
    in other people's files and name the folders of jobs as parts without a folder do.
    """
    from hydra.core.config_store import ConfigStore

    for group in {group for method in options("method") for group in parts_of(method)}:
        for name, folder in _folders(group).items():
            if folder:
                text = (CONF / group / folder / f"{name}.yaml").read_text(encoding="utf-8")
                header = re.match(r"# @package (\S+)", text)
                node = {"defaults": [f"{folder}/{name}@_here_"]}
                ConfigStore.instance().store(name, node, group, header and header[1])
    for old, new in moved.SWEEPS.items():
        node = {"defaults": [f"{new}@_here_"]}
        ConfigStore.instance().store(old, node, "sweep", "_global_")


@lru_cache
def _folders(group: str) -> dict[str, str]:
    """The options of a group by their bare names, each with its family's folder, "" without one.

    Folders are those that methods take parts from; `method/pruning/scorer` is a group of its own.
    """
    methods = (path.stem for path in (CONF / "method").glob("*.yaml"))
    folders = {folder for method in methods for folder in _folders_of(method)}
    return {p.stem: folder for folder in folders for p in (CONF / group / folder).glob("*.yaml")}


def _folders_of(method: str) -> set[str]:
    """The folders that a method takes parts from: those of its own, and "" for what fits all."""
    return {"", *(choice.rpartition("/")[0] for choice in parts_of(method).values())}
