"""What trainings have logged to Weights & Biases, read from their folders."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError, first_of
from segsuite.engine.launch import record
from segsuite.engine.launch.folders import recorded_result
from segsuite.engine.loggers.records import is_class_score
from segsuite.engine.loggers.wandb import ROWS, WandbLogger
from segsuite.reporting.workspace import Logged

log = logging.getLogger(__name__)

_COSTS, _UNITS = ("gmacs", "parameters"), ("_ms", "_mb", "_megabytes")
_NOT_SWEPT = ("run.", "paths.", "logger.", "callbacks.", "hydra.", "name", "resume", "ckpt_path")
_MOST_KEYS = 12
"""Axes of parallel coordinates that can be told apart."""


def logged_from(
    folders: Sequence[Path], *, title: str | None = None, baseline: Path | None = None
) -> Logged:
    """What the runs in these folders have logged. Those without W&B are named and left out.

    Args:
        title: what the comparison is called; None for the name of its sweep or project.
        baseline: folder of the run that others are compared with; None for the first one.

    Raises:
        ConfigError: none was logged to W&B, or they are in several projects.
    """
    found = {Path(f): logger for f in folders if (logger := _logger(Path(f))) is not None}
    if silent := [str(folder) for folder in folders if Path(folder) not in found]:
        log.warning("not in W&B, since they ran without logger=wandb: %s", first_of(silent))
    if not found:
        raise ConfigError("none of these runs was logged to W&B; train them with logger=wandb")
    places = {(logger["project"], logger.get("entity") or "") for logger in found.values()}
    if len(places) > 1:
        several = ", ".join(sorted("/".join(filter(None, reversed(place))) for place in places))
        raise ConfigError(f"these runs are in several projects of W&B: {several}; report on one")
    ((project, entity),) = places
    figures, media = _keys(found)
    costs = [name for name in figures if name in _COSTS or name.endswith(_UNITS)]
    classes = [name for name in figures if is_class_score(name)]
    groups = list(dict.fromkeys(str(g) for n in found.values() if (g := n.get("group"))))
    return Logged(
        project=project,
        entity=entity,
        title=title or ", ".join(groups) or project,
        groups=tuple(groups),
        runs={_id(folder): str(logger["name"]) for folder, logger in found.items()},
        metrics=tuple(name for name in figures if name not in {*costs, *classes}),
        headline=_headline(found, figures),
        costs=tuple(sorted(costs)),
        swept=tuple(swept([record.earlier_config(folder) or {} for folder in found])),
        classes=tuple(sorted(classes)),
        images=tuple(sorted(media)),
        baseline=_id(baseline if baseline in found else next(iter(found))),
    )


def swept(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Dotted keys that differ between configs of runs.

    What follows another key by reference differs in the same way: of such the one that was typed
    counts, or else the shortest. Paths in the runs' own folders are no settings.
    """
    flat = [record.flat(OmegaConf.create(dict(config))) for config in configs]
    own = [str(values.get("run.folder") or "\0") for values in flat]
    typed = {str(key) for values in flat for key in values.get("run.swept") or ()}
    by_values: dict[tuple[str, ...], list[str]] = {}
    for key in dict.fromkeys(key for values in flat for key in values):
        values = tuple(repr(of_one.get(key)) for of_one in flat)
        of_folder = any(folder in value for folder, value in zip(own, values, strict=True))
        if len(set(values)) > 1 and not of_folder and not key.startswith(_NOT_SWEPT):
            by_values.setdefault(values, []).append(key)
    chosen = [
        min(keys, key=lambda key: (key not in typed, key.count("."), len(key), key))
        for keys in by_values.values()
    ]
    return sorted(chosen, key=lambda key: (key not in typed, key.count("."), key))[:_MOST_KEYS]


def _logger(folder: Path) -> Mapping[str, Any] | None:
    """How a run's config has it logged to W&B; None where it was not."""
    loggers = (record.earlier_config(folder) or {}).get("logger") or {}
    target = WandbLogger.__name__
    ours = [n for n in loggers.values() if n and str(n.get("_target_")).endswith(f".{target}")]
    return ours[0] if ours and (folder / ROWS).exists() else None


def _keys(folders: Iterable[Path]) -> tuple[dict[str, None], dict[str, None]]:
    """Names of the scalars and of the images that runs have logged, in the order they came."""
    figures: dict[str, None] = {}
    media: dict[str, None] = {}
    for folder in folders:
        for line in (folder / ROWS).read_text().splitlines():
            with suppress(ValueError):  # the last one is cut where the process was killed at it
                row = json.loads(line)
                figures |= dict.fromkeys(row.get("figures", ()))
                media |= dict.fromkeys((*row.get("images", ()), *row.get("masks", ())))
    return figures, media


def _headline(folders: Iterable[Path], figures: Mapping[str, Any]) -> str:
    """The metric that most runs return, or else the first one of an evaluation."""
    results = [recorded_result(folder) or {} for folder in folders]
    returned = Counter(result.get("optimized_metric") for result in results)
    ranked = [name for name, _ in returned.most_common() if name in figures]
    ranked += [name for name in figures if name.startswith(("test/", "val/"))]
    if not ranked:
        raise ConfigError("none of these runs has been validated yet; there is nothing to compare")
    return str(ranked[0])


def _id(folder: Path) -> str:
    return str((record.starts(folder) or {}).get("id") or record.run_id(folder))
