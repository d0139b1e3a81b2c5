"""Checkpoints that rebuild themselves: the resolved config travels inside, plain types only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.core.build import build
from segsuite.core.errors import CheckpointError
from segsuite.core.files import written_whole

CONFIG_KEY = "config"
"""Where a checkpoint keeps the resolved config of its run, as plain dicts and lists."""

_NETWORK = "network."


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Writes a checkpoint that is whole or absent."""
    with written_whole(path) as beside:
        torch.save(dict(checkpoint), beside)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU, loaded with `weights_only=True`.

    Raises:
        CheckpointError: the file is absent, cut short, or not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; give an existing .ckpt file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({said}); it is cut short, or holds more than "
            "plain types"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def checkpoint_config(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """The config inside a checkpoint of ours.

    Raises:
        CheckpointError: the file is not a checkpoint of segsuite.
    """
    config = checkpoint.get(CONFIG_KEY)
    if not isinstance(config, dict) or "method" not in config:
        raise CheckpointError(
            f"{path} carries no segsuite config; only checkpoints written by segsuite.train "
            "rebuild themselves. Weights of other projects load by method.backbone.weights=FILE"
        )
    return config


def network_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's part of a training checkpoint's state dict."""
    state = checkpoint["state_dict"]
    return {k.removeprefix(_NETWORK): v for k, v in state.items() if k.startswith(_NETWORK)}


def network_from_checkpoint(
    path: str | Path, *, allow: tuple[str, ...] = ()
) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network, in evaluation mode, and the config of the run that made it.

    Args:
        allow: import prefixes that the user trusts; what the file itself allows does not count.
    """
    checkpoint = read_checkpoint(path)
    config = checkpoint_config(checkpoint, path)
    network = build(config["method"]["network"], path="method.network", allow=allow)
    load_weights(network, network_state(checkpoint), source=str(path))
    return network.eval(), config


def load_weights(network: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Loads every weight, or none.

    Raises:
        CheckpointError: naming what is missing, what is left over and which shapes differ.
    """
    own = network.state_dict()
    faults = {
        "missing": sorted(own.keys() - state.keys()),
        "left over": sorted(state.keys() - own.keys()),
        "of another shape": sorted(
            f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}"
            for k in own.keys() & state.keys()
            if state[k].shape != own[k].shape
        ),
    }
    if any(faults.values()):
        shown = "; ".join(
            f"{len(names)} {fault} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for fault, names in faults.items()
            if names
        )
        raise CheckpointError(f"{source} does not fit {type(network).__name__}: {shown}")
    network.load_state_dict(dict(state))


def same_method(checkpoint: Mapping[str, Any], config: Mapping[str, Any], path: str | Path) -> None:
    """Raises CheckpointError when a checkpoint is of another network class than `config`."""
    theirs = checkpoint_config(checkpoint, path)["method"]["network"]["_target_"]
    ours = config["method"]["network"]["_target_"]
    if theirs != ours:
        raise CheckpointError(
            f"{path} is a checkpoint of {theirs}, but this run is of {ours}; "
            "choose the experiment that the checkpoint was trained with"
        )
