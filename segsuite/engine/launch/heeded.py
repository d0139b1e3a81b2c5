"""Overrides that change nothing: no part that is built refers to their keys."""

import logging
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.core.idle import counts, why_idle
from segsuite.core.targets import locate

log = logging.getLogger(__name__)

_APPLIED = ("method.network", "method.task.grouping")
_ROOTS = {
    "train": ("method.network", "method.task"),
    "evaluate": _APPLIED,
    "predict": (*_APPLIED, "inference", "data.eval_transform", "data.reader.white"),
    "export": _APPLIED,
}
"""What each entry point builds of a method; the parts of it are what these refer to."""
_GROUPS = {"train": ("method.", "trainer."), "predict": ("method.", "data.")}
"""Whose keys are looked at, where it is not the method's alone: predict reads no data set."""
_REFERENCE = re.compile(r"\$\{([^${}:]+)\}")
_FOR_TRAINING = re.compile(r"data\.(batch_size|train_transform)\b")


def check_heeded(cfg: DictConfig, name: str, typed: Sequence[str]) -> None:
    """Raises ConfigError for a key that an entry point does not look at.

    A training warns instead, since jobs of a sweep may share keys that not each of them needs; and
    all of them warn of a key that counts only beside another setting (`core.idle`).

    Args:
        name: name of the entry point.
        typed: the overrides on the command line.
    """
    if cfg.get("allow"):  # other people's parts may look at anything
        return
    if name != "benchmark":  # which says itself what its probes look at
        _check_root(cfg, typed)
    if name not in _ROOTS:
        return
    training = name == "train"
    of_method = (key for key in referred(cfg, _ROOTS[name]) if key.startswith(("method", "data")))
    parts = {*of_method, *(["trainer"] if training else [])}
    for override in typed:
        key, _, value = override.lstrip("+~").partition("=")
        if name == "evaluate" and _FOR_TRAINING.match(key):
            log.warning("%s changes nothing here: it is about training images", override)
        if not key.startswith(_GROUPS.get(name, "method.")):
            continue
        if any(_within(key, part) for part in parts):
            taken_away = override.startswith("~") or value in ("", "null")
            if not taken_away and (why := _why_idle(cfg, key)):
                log.warning("%s changes nothing: %s", override, why)
        elif training:
            log.warning("%s changes nothing: no part of this method refers to it", override)
        else:
            raise ConfigError(
                f"`{override}` would change nothing: segsuite.{name} looks at no more than "
                f"{', '.join(sorted(parts))}; leave it out"
            )


def _check_root(cfg: DictConfig, typed: Sequence[str]) -> None:
    """Raises ConfigError for a folder that is typed for data that are drawn."""
    root = next((o for o in typed if re.match(r"[+]*data\.root=(?!null$)", o)), None)
    target = OmegaConf.select(cfg, "data.reader._target_") if root else None
    if target is not None and getattr(locate(target, "data.reader"), "drawn", False):
        raise ConfigError(
            f"`{root}` would be left unread: data=scenes draws its images; choose a data set too, "
            f"such as data=folder {root.lstrip('+')}, or leave it out"
        )


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
        inner = ".".join(names[depth:])
        if told := why_idle(made, inner, part, where, partial(OmegaConf.select, cfg)):
            return told
    return None


def _within(key: str, part: str) -> bool:
    return f"{key}.".startswith(f"{part}.") or f"{part}.".startswith(f"{key}.")


def referred(cfg: DictConfig, roots: Sequence[str]) -> Iterator[str]:
    """The roots that there are, and every key that they or their parts refer to by `${...}`."""
    waiting, seen = list(roots), set()
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        owner, _, leaf = key.rpartition(".")
        above = OmegaConf.select(cfg, owner) if owner else cfg
        if isinstance(above, DictConfig):
            node = above._get_node(leaf, validate_access=False)
            if node is None:
                continue
            waiting += _references(node)
        yield key


def _references(node: Any) -> Iterator[str]:
    """The keys that stand in `${...}` at a node or below it."""
    if node is None:
        return
    if node._is_interpolation():
        yield from _REFERENCE.findall(node._value())
    elif isinstance(node, DictConfig | ListConfig) and not node._is_none():
        for key in node if isinstance(node, DictConfig) else range(len(node)):
            yield from _references(node._get_node(key))
