"""Overrides that change nothing: no part that is built refers to their keys."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.core.idle import counts, why_idle
from segsuite.core.targets import locate

log = logging.getLogger(__name__)

_APPLIED = ("method.network",)
_ROOTS = {
    "train": ("method.network", "method.task"),
    "evaluate": _APPLIED,
    "predict": (*_APPLIED, "inference"),
    "export": _APPLIED,
}
"""What each entry point builds of a method; the parts of it are what these refer to."""
_GROUPS = {"train": ("method.", "trainer."), "predict": ("method.", "data.")}
"""Whose keys are looked at, where it is not the method's alone: predict reads no data set."""
_REFERENCE = re.compile(r"\$\{([^${}:]+)\}")
_FOR_TRAINING = re.compile(r"data\.(batch_size|train_transform)\b")


def check_heeded(cfg: DictConfig, name: str, typed: Sequence[str]) -> None:
    """Raises ConfigError for a key of the method that changes nothing.

    An entry point does not look at it, or it counts only beside another setting (`core.idle`).

    A training warns instead, since jobs of a sweep may share keys that not each of them needs.

    Args:
        name: the entry point's.
        typed: the overrides on the command line.
    """
    if name not in _ROOTS or cfg.get("allow"):  # other people's parts may look at anything
        return
    training = name == "train"
    parts = {*_referred(cfg, _ROOTS[name]), *(["trainer"] if training else [])}
    for override in typed:
        key = override.lstrip("+~").partition("=")[0]
        if name == "evaluate" and _FOR_TRAINING.match(key):
            log.warning("%s changes nothing here: it is about training images", override)
        if not key.startswith(_GROUPS.get(name, "method.")):
            continue
        if any(_within(key, part) for part in parts):
            why = _why_idle(cfg, key)
        elif training:
            why = "no part of this method refers to it"
        else:
            why = f"segsuite.{name} looks at no more than {', '.join(sorted(parts))}"
        if why and training:
            log.warning("%s changes nothing: %s", override, why)
        elif why:
            raise ConfigError(f"`{override}` would change nothing: {why}; leave it out")


@counts(gradient_clip_algorithm={"gradient_clip_val": ()})
def _trainer() -> None:
    """Lightning's, as far as its settings depend on one another."""


def _why_idle(cfg: DictConfig, key: str) -> str | None:
    """Why a part makes nothing of a key of its own, or of a part within it."""
    names = key.split(".")
    for depth in range(1, len(names)):
        where = ".".join(names[:depth])
        part = OmegaConf.select(cfg, where)
        if not isinstance(part, DictConfig) or "_target_" not in part:
            continue
        made = _trainer if where == "trainer" else locate(part._target_, where)
        if told := why_idle(made, ".".join(names[depth:]), part, where):
            return told
    return None


def _within(key: str, part: str) -> bool:
    return f"{key}.".startswith(f"{part}.") or f"{part}.".startswith(f"{key}.")


def _referred(cfg: DictConfig, roots: Sequence[str]) -> Iterator[str]:
    """The roots, and every key of method and data that they or their parts refer to by `${...}`."""
    waiting, seen = list(roots), set()
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        if key.startswith(("method", "data")):
            yield key
        owner, _, leaf = key.rpartition(".")
        above = OmegaConf.select(cfg, owner) if owner else cfg
        if isinstance(above, DictConfig):
            waiting += _references(above._get_node(leaf))


def _references(node: Any) -> Iterator[str]:
    """The keys that stand in `${...}` at a node or below it."""
    if node is None:
        return
    if node._is_interpolation():
        yield from _REFERENCE.findall(node._value())
    elif isinstance(node, DictConfig | ListConfig) and not node._is_none():
        for key in node if isinstance(node, DictConfig) else range(len(node)):
            yield from _references(node._get_node(key))
