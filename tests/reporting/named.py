"""The keys of runs that the JSON of a workspace or a report names."""

from collections.abc import Iterator
from typing import Any

_SCALARS = {"metrics", "mediaKeys"}
_ACCESSORS = {"accessor", "xAxis", "yAxis"}


def named(node: Any) -> Iterator[tuple[str, str]]:
    """Section and name: of `run` what W&B itself knows, of `config` a path with `value` in it, of
    `logged` a scalar or media."""
    if isinstance(node, dict):
        if {"section", "name"} == set(node):
            yield node["section"], node["name"]
        for key, value in node.items():
            if key in _SCALARS:
                yield from (("logged", name) for name in value)
            elif key in _ACCESSORS and ":" in str(value):
                yield tuple(value.split(":", 1))
            elif key == "groupBy":
                yield ("config" if "value" in value.split(".") else "run"), value
            elif key == "columnPinned":
                yield from (tuple(column.split(":", 1)) for column in value)
            else:
                yield from named(value)
    elif isinstance(node, list):
        for child in node:
            yield from named(child)


def unlogged(made: Any, runs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Those of the keys that none of the runs has.

    Args:
        runs: what stands in the files of runs, as `tests.engine.wandb_files.read` gives it.
    """
    rows = {name for run in runs for row in run["rows"].values() for name in row}
    have = {
        "logged": rows | {name.partition(".")[0] for name in rows},
        "summary": {name for run in runs for name in run["summary"]},
        "config": {f"{top}.value{path}" for run in runs for top, path in _paths(run["config"])},
        "run": {"name", "displayName", "group", "createdAt"},
    }
    return [(section, name) for section, name in named(made) if name not in have[section]]


def _paths(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key of a config as the server has it: the outermost name, and the rest with dots."""
    for top, value in config.items():
        yield from ((top, path) for path in _below(value))


def _below(value: Any) -> Iterator[str]:
    yield ""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from (f".{key}{path}" for path in _below(child))
