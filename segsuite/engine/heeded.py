"""Overrides that change nothing: no part that is built refers to their keys."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from segsuite.core.errors import ConfigError

log = logging.getLogger(__name__)

_TRAINED = ("method.network", "method.task")
_APPLIED = ("method.network",)
_ROOTS = {"train": _TRAINED, "evaluate": _APPLIED, "predict": _APPLIED, "export": _APPLIED}
"""What each entry point builds of a method; the parts of it are what these refer to."""
_REFERENCE = re.compile(r"\$\{([^${}:]+)\}")
_FOR_TRAINING = re.compile(r"data\.(batch_size|train_transform)\b")


def check_heeded(cfg: DictConfig, name: str, typed: Sequence[str]) -> None:
    """Raises ConfigError for a key of the method that an entry point does not look at.

    A training warns instead, since jobs of a sweep may share keys that not each of them needs.

    Args:
        name: the entry point's.
        typed: the overrides on the command line.
    """
    if name not in _ROOTS or cfg.get("allow"):  # other people's parts may look at anything
        return
    parts = set(_referred(cfg, _ROOTS[name]))
    for override in typed:
        key = override.lstrip("+~").partition("=")[0]
        if name == "evaluate" and _FOR_TRAINING.match(key):
            log.warning("%s changes nothing here: it is about training images", override)
        if not key.startswith("method.") or any(_within(key, part) for part in parts):
            continue
        if name == "train":
            log.warning("%s changes nothing: no part of this method refers to it", override)
            continue
        raise ConfigError(
            f"`{override}` would change nothing: segsuite.{name} looks at the network alone "
            f"({', '.join(sorted(parts))}); leave it out"
        )


def _within(key: str, part: str) -> bool:
    return f"{key}.".startswith(f"{part}.") or f"{part}.".startswith(f"{key}.")


def _referred(cfg: DictConfig, roots: Sequence[str]) -> Iterator[str]:
    """The roots, and every key of the method that they or their parts refer to by `${...}`."""
    waiting, seen = list(roots), set()
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        if key.startswith("method"):
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
