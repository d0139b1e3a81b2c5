"""From a checkpoint back to its config, network and classes; for evaluate and predict."""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.engine.launch.run import Run
from segsuite.engine.launch.typed import read_override

if TYPE_CHECKING:
    from segsuite.data.class_table import ClassTable
    from segsuite.nn.segmenter import Segmenter

_CARRIED = ("method", "data", "inference", "name", "seed")
"""Parts of a training's config that still mean something afterwards."""


def config_from_checkpoint(arguments: list[str]) -> list[str]:
    """The arguments as they are, after the checkpoint's config was laid where Hydra finds it.

    Overrides on the command line then go over it with all of Hydra's grammar and checks. With its
    interpolations unresolved: `method.pruning.mode` typed now reaches everything that refers to it.

    Raises:
        ConfigError: no single ckpt_path was given.
        CheckpointError: the file is not one of ours.
    """
    from hydra.core.config_store import ConfigStore

    if any(argument in ("-sc", "--shell-completion") for argument in arguments):
        return arguments
    typed = {a.lstrip("+").partition("=")[0] for a in arguments if "=" in a and a[0] != "-"}
    config = _carried(_checkpoint_of(arguments), typed, _allowed(arguments))
    # A whole group that is typed replaces the checkpoint's: no keys of another data set remain.
    base = {key: config[key] for key in _CARRIED if key in config and key not in typed}
    ConfigStore.instance().store(group="checkpoint", name="loaded", node=base)
    return arguments


def _checkpoint_of(arguments: Sequence[str]) -> str:
    """The file that ckpt_path=... names, read as Hydra will read it."""
    typed = [a for a in arguments if a.lstrip("+").startswith("ckpt_path=")]
    read = read_override(typed[-1]) if typed else None
    path = None if read is None or read.is_sweep_override() else read.value()
    if path is None or path == "" or isinstance(path, list | dict):
        raise ConfigError(
            "give one checkpoint: ckpt_path=logs/train/NAME/TIME/checkpoints/best.ckpt"
        )
    return str(path)


def _allowed(arguments: Sequence[str]) -> tuple[str, ...]:
    """The packages that are trusted by `allow=[...]` on the command line; Hydra tells mistakes."""
    from segsuite.core.targets import prefixes

    read = [read_override(a) for a in arguments if a.lstrip("+").startswith("allow=")]
    allow = [override.value() for override in read if override is not None]
    return prefixes(allow[-1] if allow else [])


def config_from_source(arguments: list[str]) -> list[str]:
    """As `config_from_checkpoint`, or with `experiment=NAME` the config of its training.

    What is typed about an experiment's method and data is composed with it, so that groups can be
    chosen, and is left out of the arguments that come back.

    Raises:
        ConfigError: neither or both were given, or the experiment's overrides do not fit.
    """
    from hydra.core.config_store import ConfigStore

    from segsuite.engine.launch.entry_point import compose
    from segsuite.engine.launch.heeded import check_heeded

    named = [a for a in arguments if a.startswith("experiment=")]
    if any(a.startswith("ckpt_path=") for a in arguments) or not named:
        if named:
            raise ConfigError("give ckpt_path=FILE or experiment=NAME, not both")
        if not any(a.startswith(("ckpt_path=", "-")) for a in arguments):
            raise ConfigError("give ckpt_path=FILE, or experiment=NAME for random weights")
        return config_from_checkpoint(arguments)
    own = [a for a in arguments if a.lstrip("+~").startswith(("experiment=", "method", "data"))]
    composed = compose("train", own)
    check_heeded(composed, "export", own)  # what is composed here is not among what is left
    cfg = OmegaConf.to_container(composed, resolve=False)
    base = {key: cfg[key] for key in ("method", "data", "inference", "name") if key in cfg}
    base["experiment"] = named[-1].partition("=")[2]
    ConfigStore.instance().store(group="checkpoint", name="loaded", node=base)
    return [a for a in arguments if a not in own]


def _carried(path: str, typed: Collection[str], allow: tuple[str, ...]) -> dict[str, Any]:
    """The config inside a checkpoint, looked through as far as nothing typed replaces it."""
    from segsuite.core.checkpoint import SOURCE_KEY, checkpoint_config, part, read_checkpoint
    from segsuite.core.targets import check_targets

    checkpoint = read_checkpoint(path)
    resolved = checkpoint_config(checkpoint, path)
    classes_of(checkpoint, path)
    source = part(checkpoint, SOURCE_KEY, dict, path) if SOURCE_KEY in checkpoint else resolved
    for config in (resolved, source):
        part(part(config, "method", dict, path), "network", dict, path)
    count = part(part(resolved, "data", dict, path), "num_classes", int, path)
    for key in _CARRIED:
        if key not in typed:
            check_targets(resolved.get(key), path=key, allow=allow, source=path)
    # As a number, since the class table that it was counted in may be out of reach by now.
    return {**source, "data": {**part(source, "data", dict, path), "num_classes": count}}


def classes_of(checkpoint: Mapping[str, Any], path: str | Path) -> "ClassTable":
    """The classes that a checkpoint's network was trained for.

    Raises:
        CheckpointError: it has no class table, or a damaged one.
    """
    from segsuite.core.checkpoint import part
    from segsuite.data.class_table import ClassTable

    stored = part(checkpoint, "classes", dict, path)
    try:
        table = ClassTable.from_dict(stored)
        whole = len(table.names) == len(table.ids) == len(table.colors) > 0
        whole = whole and all(isinstance(name, str) for name in table.names)
        fault = None if whole and all(isinstance(i, int) for i in table.ids) else "it is not whole"
    except KeyError as error:
        fault = f"it lacks {error}"
    except (TypeError, ValueError, OverflowError) as error:
        fault = str(error)
    if fault:
        raise CheckpointError(f"{path} holds no class table in its `classes`: {fault}")
    return table


def as_checkpoint(cfg: DictConfig, network: "Segmenter", classes: "ClassTable") -> dict[str, Any]:
    """A checkpoint of a network that no training of ours made, to be read by all entry points.

    Args:
        cfg: config of a training of such a network, as `launch.compose("train", ...)` gives it.
    """
    from segsuite.core.checkpoint import CONFIG_KEY, SOURCE_KEY
    from segsuite.engine.launch.record import plain

    return {
        CONFIG_KEY: plain(cfg),
        SOURCE_KEY: plain(cfg, resolve=False),
        "classes": classes.to_dict(),
        "state_dict": {f"network.{name}": w for name, w in network.state_dict().items()},
        "global_step": 0,
    }


def network_of(run: Run, *, classes: "ClassTable | None" = None) -> "tuple[Segmenter, ClassTable]":
    """The trained network in evaluation mode, and the classes that it was trained for.

    Args:
        classes: classes that the network is wanted for; any when None.

    Raises:
        CheckpointError: other classes were trained, or the weights do not fit the config's network.
    """
    from segsuite.core.checkpoint import (
        checkpoint_config,
        load_weights,
        network_state,
        read_checkpoint,
    )
    from segsuite.nn.backbones.lite_weights import check_twins

    path = run.config.ckpt_path
    checkpoint = read_checkpoint(path)
    trained = classes_of(checkpoint, path)
    if classes is not None:
        check_same(trained.names, classes.names, path)
    wanted = run.plain("method").get("network")
    made = checkpoint_config(checkpoint, path)["method"]["network"]
    try:
        network = run.build("method.network")
    except ConfigError as error:
        if wanted != made:
            raise  # what was typed over it
        raise CheckpointError(f"the config inside {path} makes no network: {error}") from error
    check_twins(wanted, made, source=str(path))
    load_weights(network, network_state(checkpoint, path), source=str(path))
    return network.eval(), trained


def trained_network(
    path: str, *, classes: "ClassTable", allow: tuple[str, ...] = ()
) -> "Segmenter":
    """The network of a checkpoint as it was trained, in evaluation mode.

    Raises:
        CheckpointError: the file is not a checkpoint of ours, or was trained for other classes.
    """
    cfg = OmegaConf.create(_carried(path, (), allow))
    cfg.allow, cfg.ckpt_path = list(allow), path
    return network_of(Run(cfg), classes=classes)[0]


def iteration_of(path: str | Path) -> int:
    """After how many iterations a checkpoint was written.

    Raises:
        CheckpointError: the file is not a checkpoint, or does not say.
    """
    from segsuite.core.checkpoint import part, read_checkpoint

    return part(read_checkpoint(path), "global_step", int, path)


def check_same(trained: Sequence[str], given: Sequence[str], path: str) -> None:
    """Raises CheckpointError where the names of classes are not those of a checkpoint."""
    if tuple(trained) != tuple(given):
        differing = [f"{a} / {b}" for a, b in zip(trained, given, strict=False) if a != b]
        raise CheckpointError(
            f"{path} was trained for {len(trained)} classes, the data has {len(given)}"
            + (f", and they differ ({', '.join(differing[:3])})" if differing else "")
            + "; it needs data with the same class table"
        )


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Metrics as plain numbers, None for those that are undefined."""
    numbers = {name: float(value) for name, value in metrics.items()}
    return {name: value if isfinite(value) else None for name, value in numbers.items()}
