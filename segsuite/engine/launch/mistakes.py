"""Errors of Hydra and OmegaConf, said again in one paragraph. Imported where there is one."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import dropwhile
from shlex import quote
from traceback import walk_tb
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segsuite.core.config import CONF, composed, has_a_checkpoint, options, parts_of
from segsuite.core.errors import MissingExtra, SegsuiteError, did_you_mean
from segsuite.engine.launch.typed import mended, quoted, read_override

_OPTIONAL = ("experiment", "sweep", "debug", "scores", "submission")
"""Groups of which nothing is chosen unless it is typed."""
_LONGEST = 250
"""Of a path that is shown: file systems take names of 255 bytes."""


def explain(error: BaseException, name: str, overrides: Sequence[str]) -> str | None:
    """What went wrong and what to type, or None when the mistake is not the user's.

    Args:
        name: the entry point whose config was composed.
        overrides: what was typed, to suggest the nearest key that exists.
    """
    ours = _in_chain(error, SegsuiteError)
    if ours is not None:
        # From a loader's worker it comes with the whole traceback as its text.
        kind = type(ours)
        return str(ours).rsplit(f"\n{kind.__module__}.{kind.__qualname__}: ", 1)[-1].strip()
    if _in_chain(error, (HydraException, OmegaConfBaseException)) is None:
        return _of_a_path(error, overrides) or _before_the_job(error, overrides)
    if (typed := getattr(error, "override", None)) is not None:
        return _unreadable(typed, str(error).splitlines()[0])
    said = "\n".join(str(link) for link in _chain(error))
    if match := re.search(r"Key '([^']+)' is not in struct\s+full_key: (\S+)", said):
        return _unknown_key(match[2], name, overrides)
    if match := re.search(r"Could not override '([^']+)'", said):
        return _unknown_key(match[1], name, overrides)
    if match := re.search(r"Could not find '([^']+)'", said):
        return _unknown_choice(match[1])
    if match := re.search(r"'(\S+)' is validated against ConfigStore", said):
        return f"{match[1]}.yaml of your own bears the name of a part of this suite; rename it"
    if match := re.search(r"Missing mandatory value: (\S+)", said):
        return f"`{match[1]}` has no value yet; type {match[1]}=..."
    if match := re.search(r"Ambiguous value for argument '(.+?)'\n", said):
        return _several_values(match[1])
    return " ".join(str(error).split())


def _unreadable(override: str, said: str) -> str:
    repaired = _without_a_last_comma(override) or mended(override)
    hint = f"; type {quote(repaired)}" if repaired else "; is a bracket or a quote left open?"
    return f"`{override}` cannot be read as KEY=VALUE ({said}){hint}"


def _without_a_last_comma(override: str) -> str | None:
    """As lists that are typed from left to right leave one; None where there is none."""
    shorter = override.rstrip(", ")
    fits = shorter != override.strip() and not shorter.endswith("=")
    return shorter if fits and read_override(shorter) is not None else None


def _several_values(override: str) -> str:
    key, _, value = override.partition("=")
    point = f"{key}={value.replace(',', '.')}"
    decimal = f", or {point} if a number was meant" if re.fullmatch(r"[+-]?0,\d+", value) else ""
    return (
        f"`{override}` gives several values; type -m before it for a run with each, "
        f"{quote(f'{key}=[{value}]')} for a list of them, or {quote(f'{key}={quoted(value)}')} for "
        f"text with commas{decimal}"
    )


def _elsewhere(top: str, name: str, overrides: Sequence[str]) -> str:
    """Of a group that this entry point has no use for."""
    typed = [o for o in overrides if re.split(r"[./@=]", o.lstrip("+~"))[0] == top]
    shown = f"`{' '.join(typed) or top}`"
    if name != "benchmark":
        return f"{shown}: segsuite.{name} has no {top}; leave it out"
    line = quote(f"overrides=[{','.join(map(quoted, typed))}]")
    return f"{shown} is about networks to be compared; type {line} for all experiments"


def _unknown_key(key: str, name: str, overrides: Sequence[str]) -> str:
    key = key.split("@")[0]
    config = _composed(name, [o for o in overrides if o.split("=")[0].lstrip("+~") != key])
    known = {*_paths(config, ""), *_groups()}
    top = re.split(r"[./]", key)[0]
    if top in _groups() and top not in config:
        return _elsewhere(top, name, overrides)
    if methods := [method for method in options("method") if key in parts_of(method)]:
        if has_a_checkpoint(name):
            return (
                f"`{key}` is not chosen anew: the method is that of the checkpoint; leave it out, "
                "or type keys of the network, such as method.pruning.mode=static"
            )
        return f"`{key}` is no part of this method, but of method={'|'.join(methods)}"
    parent, _, leaf = key.rpartition(".")
    if not leaf.startswith("_"):  # what is made of a part is no key that is meant by another one
        known = {path for path in known if not path.endswith(("._target_", "._partial_"))}
    if parent in known and not any(path.startswith(f"{parent}.") for path in known):
        return _childless(key, parent)
    if key in known:  # there before another override, of a group that stands above it, took it away
        return f"there is no config key `{key}` beside the other overrides; leave one of them out"
    if others := _options_with(key):
        return f"there is no config key `{key}` here, but there is with {others}; type that too"
    whole = [path for path in known if path.endswith(f".{key}")]
    if whole:  # typed from the middle on
        nearest = min(sorted(whole), key=len)
        return f"there is no config key `{key}`; did you mean `{nearest}`?"
    suggestion = did_you_mean(key, known - {parent})
    if "did you mean" not in suggestion:  # not near as a whole: perhaps the right name elsewhere
        tails = {path.rsplit(".", 1)[-1]: path for path in sorted(known, reverse=True)}
        near = re.search(r"mean `(.+)`", did_you_mean(leaf, tails, cutoff=0.75))
        suggestion = f"; did you mean `{tails[near[1]]}`?" if near else ""
    hint = suggestion or f"; --cfg job shows all of them, +{key}=... adds a new one"
    return f"there is no config key `{key}`{hint}"


def _options_with(key: str) -> str:
    """Choices of a group at the top, such as logger=wandb, in whose files a key stands."""
    group, _, inner = key.partition(".")
    files = sorted((CONF / group).glob("*.yaml")) if inner else []
    names = [path.stem for path in files if inner in _paths(OmegaConf.load(path), "")]
    return f"{group}={'|'.join(names)}" if names else ""


def _childless(key: str, parent: str) -> str:
    group = parent.replace(".", "/")
    known = "|".join(options(group))
    choice = f"; choose one with keys: {group}={known}" if known else ""
    return f"there is no config key `{key}`: `{parent}` has no keys here{choice}"


def _unknown_choice(choice: str) -> str:
    group, _, option = choice.rpartition("/")
    if group == "hydra/launcher":
        return str(MissingExtra(f"the launcher {option}", "ray" if option == "ray" else "sweeps"))
    return f"there is no `{group}={option}`{did_you_mean(option, options(group))}"


def _of_a_path(error: BaseException, overrides: Sequence[str]) -> str | None:
    """What the system says of a file or folder that was typed, or of one in or above it."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    for override in overrides:
        read = read_override(override)
        value = None if read is None or read.is_sweep_override() else read.value()
        if isinstance(value, str) and len(value) > 1 and value in str(error.filename):
            shown = value if len(value) < _LONGEST else f"{value[:_LONGEST]}..."
            said = f"{error.strerror} ({str(error.filename)[-_LONGEST:]})"
            return f"`{read.key_or_group}={shown}` cannot be used: {said}; type another"
    return None


def _before_the_job(error: BaseException, overrides: Sequence[str]) -> str | None:
    """What Hydra itself ended with a traceback for; None where a job of ours had begun."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    below = list(dropwhile(lambda name: not name.startswith("hydra."), frames))
    if not below or any(name.startswith("segsuite.") for name in below):
        return None
    if isinstance(error, OSError) and error.filename:
        said = error.strerror or error
        return f"{error.filename} cannot be written to ({said}); type paths.logs=FOLDER"
    return no_choice(overrides) if isinstance(error, ValueError | TypeError) else None


def no_choice(overrides: Sequence[str]) -> str | None:
    """What Hydra ends with a traceback for: a group that is to be nothing, or numbers."""
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        read = read_override(override)
        value = "" if read is None else read.value()  # text is a choice, or another's to refuse
        if all(isinstance(c, str) for c in (value if isinstance(value, list) else [value])):
            continue
        if known := ", ".join(options(key)):
            optional = "leave it out, or " if key in _OPTIONAL else ""
            return f"`{override}` chooses nothing; {optional}type {key}= with one of {known}"
        if key == "checkpoint" or key.startswith("hydra/"):  # groups without files of ours
            return f"`{override}` chooses nothing; leave it out"
    return None


def _composed(name: str, overrides: Sequence[str]) -> Any:
    """The config that the other overrides give, or when they are wrong as well, that none give."""
    for attempt in (overrides, ()):
        with suppress(HydraException):
            return composed(name, attempt)
    return {}


def _groups() -> set[str]:
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def _paths(node: Any, prefix: str) -> Iterator[str]:
    """Every dotted key below a config node."""
    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _paths(child, f"{prefix}{key}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from.

    What merely happened to be handled meanwhile is no cause, except with Hydra and OmegaConf, which
    do not name the errors that they wrap.
    """
    while error is not None:
        yield error
        wraps = isinstance(error, HydraException | OmegaConfBaseException)
        error = error.__cause__ or (error.__context__ if wraps else None)


def _in_chain(error: BaseException, kinds: Any) -> BaseException | None:
    """The first error of these kinds among `error` and its causes."""
    return next((link for link in _chain(error) if isinstance(link, kinds)), None)
