"""Trainings that differ in their seed alone, for a comparison of what they reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.core.records import found
from segsuite.core.results import Record

METRIC = "test/miou"


@dataclass(frozen=True)
class Group:
    """Trainings of one network.

    Attributes:
        name: the experiment, and what was typed of its method.
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
    gathered: dict[str, dict[int, tuple[float, Path, dict[str, Any]]]] = {}
    for file, record in found(*paths):
        score = None if record.kind != "train" else record.entries[0].metrics.get(METRIC)
        if score is None or score.value is None:
            continue
        config = OmegaConf.to_container(OmegaConf.load(file.parent / "config.yaml"))
        own = gathered.setdefault(_name(record), {})
        if (seed := config["seed"]) in own:
            raise ConfigError(
                f"{own[seed][1]} and {file.parent} are of one network and one seed, {seed}; name "
                "the folders to compare one by one: probe.runs=[FOLDER,...]"
            )
        own[seed] = (score.value, file.parent, config)
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


def _name(record: Record) -> str:
    """What was typed that makes another network or training of it."""
    typed = [override.lstrip("+~") for override in record.config]
    experiment = [o.partition("=")[2] for o in typed if o.startswith("experiment=")]
    own = sorted(o for o in typed if o.startswith(("method.", "method/", "method=")))
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
