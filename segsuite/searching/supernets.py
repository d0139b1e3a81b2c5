"""A trained supernet and the images that its sub-networks are measured on."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.sizes import Size
from segsuite.data.module import HELD_OUT
from segsuite.engine.accuracy import evaluator_of
from segsuite.engine.resuming import fingerprint, stored_samples
from segsuite.methods.hyctas.subnetworks import Subnetworks
from segsuite.methods.hyctas.supernet import Supernet


def measures_of(
    network: Any,
    data: Any,
    *,
    source: str,
    size: Size,
    device: torch.device,
    evaluator: Callable[[str], Any] | None = None,
    **images: int,
) -> Subnetworks:
    """What measures the sub-networks of a trained supernet.

    Args:
        source: path of its checkpoint.
        evaluator: gives what stands at a key of the config, built; or None for a semantic one.
        images: `norm_images`, `scored_images` and `batch_size`, see `Subnetworks`.

    Raises:
        CheckpointError: the checkpoint is of no supernet.
        ConfigError: candidates would be scored on images that the supernet was trained on.
    """
    if not isinstance(network, Supernet):
        raise CheckpointError(
            f"{source} holds a {type(network).__name__}, which has no sub-networks; give the "
            "checkpoint of a supernet, such as that of experiment=hyctas_supernet_camvid"
        )
    data.prepare_data()
    data.setup("fit")
    _check_apart(data, source)
    load = None if evaluator is None else partial(evaluator, "method.task.evaluator")
    return Subnetworks(
        supernet=network.to(device),
        data=data,
        evaluator=evaluator_of(load, data.classes, network),
        size=size,
        **images,
    )


def _check_apart(data: Any, path: str) -> None:
    held_out = fingerprint(data.samples(HELD_OUT))
    trained = stored_samples(read_checkpoint(path), path).get("train")
    if trained is None:
        return
    seen = {tuple(row) for row in trained.tolist()} & {tuple(row) for row in held_out.tolist()}
    if seen:
        raise ConfigError(
            f"{len(seen)} of {len(held_out)} held-out images are among those that {path} was "
            "trained on, so that scores would flatter; train the supernet with the same "
            "data.held_out"
        )
