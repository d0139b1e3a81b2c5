"""Trainings that differ in their seed alone, for a comparison of what they reached."""

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.core.records import found
from segsuite.core.results import Record

log = logging.getLogger(__name__)

METRIC = "test/miou"


@dataclass(frozen=True)
class Group:
    """Trainings of one network.

    Attributes:
        name: the experiment, and what was typed of its method and not of all others, too.
        scores: the final mIoU of each seed, of 1.
        checkpoint: the best one of the first seed.
        config: what that training was started with, plain.
    """

    name: str
    scores: Mapping[int, float]
    checkpoint: str
    config: Mapping[str, Any]


def groups_of(paths: Sequence[str]) -> list[Group]:
    """The finished trainings below those paths, in the order of their names.

    Raises:
        ConfigError: none, two of one seed, or trainings that no comparison should hold together:
            of other data, or of another number of iterations, batch or crop.
    """
    trainings = list(_trainings(paths))
    alike = set.intersection(*[set(_typed(record)) for _, record, _ in trainings] or [set()])
    gathered: dict[str, dict[int, tuple[float, Path, dict[str, Any]]]] = {}
    for file, record, score in trainings:
        config = OmegaConf.to_container(OmegaConf.load(file.parent / "config.yaml"))
        own = gathered.setdefault(_name(record, alike), {})
        if (seed := config["seed"]) in own:
            raise ConfigError(
                f"{own[seed][1]} and {file.parent} are of one network and one seed, {seed}; name "
                "the folders to compare one by one: probe.runs=[FOLDER,...]"
            )
        own[seed] = (score, file.parent, config)
    if not gathered:
        raise ConfigError(
            f"probe.runs={list(paths)} holds no finished training with a {METRIC}; type the "
            "folder of a sweep, such as logs/sweeps/controls"
        )
    groups = []
    for name in sorted(gathered):
        own = gathered[name]
        _, folder, config = own[min(own)]
        scores = {seed: own[seed][0] for seed in sorted(own)}
        groups.append(Group(name, scores, str(folder / "checkpoints" / "best.ckpt"), config))
    _check_alike(gathered)
    return groups


def _trainings(paths: Sequence[str]) -> Iterator[tuple[Path, Record, float]]:
    """The finished ones: their files, records and scores; of the others a warning tells."""
    for file, record in found(*paths):
        score = None if record.kind != "train" else record.entries[0].metrics.get(METRIC)
        if score is not None and score.value is not None:
            yield file, record, score.value
        elif record.kind == "train":
            log.warning("left out, since it was not scored by %s: %s", METRIC, file.parent)
    begun = {file.parent.parent for path in paths for file in Path(path).rglob("*/last.ckpt")}
    if unfinished := sorted(str(f) for f in begun if not (f / "result.json").is_file()):
        log.warning(
            "not finished, and left out: %s; to go on, type the command of the sweep again, or "
            "that of a single training with resume=true",
            ", ".join(unfinished),
        )


def _typed(record: Record) -> list[str]:
    """What was typed of the method."""
    typed = (override.lstrip("+~") for override in record.config)
    return sorted(o for o in typed if o.startswith(("method.", "method/", "method=")))


def _name(record: Record, alike: Set[str]) -> str:
    """What was typed that makes another network or training of it."""
    typed = (override.lstrip("+~") for override in record.config)
    experiment = [o.partition("=")[2] for o in typed if o.startswith("experiment=")]
    own = [override for override in _typed(record) if override not in alike]
    return " ".join([*experiment[-1:], *own]) or record.name


def _check_alike(gathered: Mapping[str, Mapping[int, tuple[float, Path, dict[str, Any]]]]) -> None:
    first: tuple[Path, dict[str, Any]] | None = None
    for own in gathered.values():
        for _, folder, config in own.values():
            budget = _budget(config)
            if first is None:
                first = folder, budget
            for key, value in budget.items():
                if value != first[1][key]:
                    raise ConfigError(
                        f"{folder} was trained with {key}={value}, and {first[0]} with "
                        f"{key}={first[1][key]}: networks are compared at equal budgets; train "
                        "them alike, or leave one out of probe.runs"
                    )


def _budget(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a training may see, and how much of it."""
    data, trainer = config["data"], config["trainer"]
    plain = {
        "trainer.max_steps": trainer["max_steps"],
        "trainer.accumulate_grad_batches": trainer.get("accumulate_grad_batches", 1),
        "trainer.val_check_interval": trainer.get("val_check_interval"),  # the best is scored
        "trainer.limit_val_batches": trainer.get("limit_val_batches"),
        "trainer.precision": trainer.get("precision"),
        "trainer.devices": trainer.get("devices"),
        "trainer.num_nodes": trainer.get("num_nodes", 1),
        "init_from": config.get("init_from"),
        "inference": config.get("inference"),
    }
    for key in (
        *("batch_size", "crop_size", "reader", "root", "classes"),
        *("train_transform", "eval_transform"),
    ):
        plain[f"data.{key}"] = data.get(key)
    return plain
