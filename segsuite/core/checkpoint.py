"""Checkpoints that rebuild themselves: the resolved config travels inside, plain types only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.core.archives import read_plain
from segsuite.core.build import build
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.files import written_whole
from segsuite.core.finite import check_finite, not_finite
from segsuite.core.moved import with_targets_of_today
from segsuite.core.targets import check_targets

CONFIG_KEY = "config"
"""Where a checkpoint keeps the resolved config of its run, as plain dicts and lists."""

SOURCE_KEY = "config_source"
"""The same with its interpolations unresolved, as overrides of today are laid over it."""

_NETWORK = "network."


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Writes a checkpoint that is whole or absent."""
    with written_whole(path) as beside:
        torch.save(dict(checkpoint), beside)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU, loaded with `weights_only=True`.

    What its configs name by import path is named as it is today, see `core/moved.py`.

    Raises:
        CheckpointError: the file is absent, damaged, cut short, or not a checkpoint.
    """
    content = read_plain(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    configs = {key: content[key] for key in (CONFIG_KEY, SOURCE_KEY) if key in content}
    return content | with_targets_of_today(configs)


def part(checkpoint: Mapping[str, Any], key: str, kind: type, path: str | Path) -> Any:
    """A part that a checkpoint cannot do without.

    Raises:
        CheckpointError: naming file and part, when it is missing or of another type.
    """
    value = checkpoint.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        what = f"a {type(value).__name__}" if key in checkpoint else "missing"
        raise CheckpointError(
            f"{path} is no whole checkpoint of segsuite.train: its `{key}` is {what}, and should "
            f"be a {kind.__name__}; give another checkpoint"
        )
    return value


def checkpoint_config(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """The config inside a checkpoint of ours, which says at least how to make its network.

    Raises:
        CheckpointError: the file is not a checkpoint of segsuite.
    """
    config = checkpoint.get(CONFIG_KEY)
    if not isinstance(config, dict) or "method" not in config:
        raise CheckpointError(
            f"{path} carries no segsuite config; only checkpoints written by segsuite.train "
            "rebuild themselves. Weights of other projects load by method.backbone.weights=FILE"
        )
    network = part(part(config, "method", dict, path), "network", dict, path)
    part(network, "_target_", str, path)
    return config


def network_state(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """The network's part of a training checkpoint's state dict.

    Raises:
        CheckpointError: there is none, or it holds other things than tensors.
    """
    state = part(checkpoint, "state_dict", dict, path)
    names = [name for name in state if str(name).startswith(_NETWORK)]
    return {name.removeprefix(_NETWORK): part(state, name, Tensor, path) for name in names}


def network_from_checkpoint(
    path: str | Path, *, allow: tuple[str, ...] = ()
) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network, in evaluation mode, and the config of the run that made it.

    Args:
        allow: import prefixes that the user trusts; what the file itself allows does not count.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint_config(checkpoint, path)
    state = network_state(checkpoint, path)
    made = config["method"]["network"]
    check_targets(made, path="method.network", allow=allow, source=path)
    try:
        network = build(made, path="method.network", allow=allow)
    except ConfigError as error:
        raise CheckpointError(f"the config inside {path} makes no network: {error}") from error
    load_weights(network, state, source=str(path))
    return network.eval(), config


def load_weights(network: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Loads every weight, or none.

    Raises:
        CheckpointError: naming what is missing, what is left over and which shapes differ, or what
            is not finite.
    """
    own = network.state_dict()
    sizes = {name: tuple(weight.shape) for name, weight in state.items()}
    check_fit(own, sizes, source=source, whose=type(network).__name__)
    check_finite(state, source=source, apart_from=not_finite(own))
    network.load_state_dict(dict(state))


def check_fit(
    own: Mapping[str, Tensor], sizes: Mapping[str, tuple[int, ...]], *, source: str, whose: str
) -> None:
    """Raises CheckpointError unless names and shapes of stored weights are those of a network."""
    faults = {
        "missing": sorted(own.keys() - sizes.keys()),
        "left over": sorted(sizes.keys() - own.keys()),
        "of another shape": sorted(
            f"{k} {sizes[k]} for {tuple(own[k].shape)}"
            for k in own.keys() & sizes.keys()
            if sizes[k] != tuple(own[k].shape)
        ),
    }
    if any(faults.values()):
        shown = "; ".join(
            f"{len(names)} {fault} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for fault, names in faults.items()
            if names
        )
        raise CheckpointError(f"{source} does not fit {whose}: {shown}")


def same_method(checkpoint: Mapping[str, Any], config: Mapping[str, Any], path: str | Path) -> None:
    """Raises CheckpointError when a checkpoint is of another network class than `config`."""
    theirs = checkpoint_config(checkpoint, path)["method"]["network"]["_target_"]
    ours = config["method"]["network"]["_target_"]
    if theirs != ours:
        raise CheckpointError(
            f"{path} is a checkpoint of {theirs}, but this run is of {ours}; "
            "choose the experiment that the checkpoint was trained with"
        )
