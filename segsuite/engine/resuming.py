"""A training that goes on from a checkpoint: does the checkpoint fit what is there now?

Asked before anything is trained. Another network, optimiser or class table is refused; other files
are told of with their numbers, since data may have been added on purpose.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segsuite.core.checkpoint import (
    check_fit,
    checkpoint_config,
    network_state,
    part,
    read_checkpoint,
    same_method,
)
from segsuite.core.errors import CheckpointError, SegsuiteError
from segsuite.core.finite import not_finite, refuse_odd
from segsuite.core.hints import default_of
from segsuite.core.targets import locate
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Samples
from segsuite.engine.callbacks.checkpoints import SAMPLES_KEY
from segsuite.engine.launch.rebuild import classes_of
from segsuite.nn.backbones.lite_weights import check_twins

log = logging.getLogger(__name__)

_SPLITS = ("train", "val")
_NEEDED = {
    "global_step": int,
    "pytorch-lightning_version": str,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}
"""What a training goes on from beside its weights."""


class ResumePoint:
    """What a checkpoint knows of its training, without the weights, which may be large.

    Args:
        path: path of the checkpoint.
        config: config of the run that is to go on.

    Raises:
        CheckpointError: unreadable, not whole, not finite, or of another method.

    Attributes:
        path: path of the checkpoint.
        config: config of the training that wrote it.
        step: iterations that it was trained for.
        shapes: shapes of the network's weights, by name.
        classes: classes that it was trained for.
        samples: fingerprints of its data by split; empty in checkpoints of before they had them.
        optimizer: import path of its optimiser; None where the config of its training does not say.
        groups: the number of weights in each group of the optimiser.
        odd: names of weights that are not finite.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        checkpoint = read_checkpoint(path)
        same_method(checkpoint, config, path)
        self.path, self.config = path, checkpoint_config(checkpoint, path)
        ours, theirs = config["method"]["network"], self.config["method"]["network"]
        check_twins(ours, theirs, source=str(path))
        _check_since(ours, theirs, "method.network", path)
        state = network_state(checkpoint, path)
        _check_whole(checkpoint, path)
        self.step: int = checkpoint["global_step"]
        self.shapes = {name: tuple(weight.shape) for name, weight in state.items()}
        self.classes = classes_of(checkpoint, path)
        self.samples = stored_samples(checkpoint, path)
        self.optimizer = _optimizer(self.config)
        self.groups = _groups(checkpoint["optimizer_states"][0], path)
        self.odd = not_finite(state)

    def check_network(self, network: nn.Module) -> None:
        """Raises CheckpointError unless the weights are those of such a network, and finite."""
        own, source = network.state_dict(), str(self.path)
        try:
            check_fit(own, self.shapes, source=source, whose=type(network).__name__)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}. A training goes on with the network that it began with; type the same "
                f"settings, or init_from={source} to begin with the weights that fit"
            ) from error
        refuse_odd(self.odd, len(own), source=source, apart_from=not_finite(own))

    def check_optimizer(self, optimizer: Optimizer, config: Mapping[str, Any]) -> None:
        """Raises CheckpointError unless its state is that of such an optimiser.

        Args:
            config: config that the optimiser was made from.
        """
        ours, kind = _groups(optimizer.state_dict(), self.path), _optimizer(config)
        if ours != self.groups or (self.optimizer is not None and kind != self.optimizer):
            raise CheckpointError(
                f"{self.path} was trained by {_told(self.optimizer, self.groups)}, here is "
                f"{_told(kind, ours)}; a training goes on with the optimiser that it began with. "
                f"Type the same method.optimizer and groups, or init_from={self.path} to begin "
                "with its weights alone"
            )

    def check_classes(self, classes: ClassTable) -> None:
        """Raises CheckpointError, saying what differs, for another class table."""
        if other := _difference(self.classes, classes):
            raise CheckpointError(
                f"{self.path} was trained with another class table: {other}. A training goes on "
                "with the classes that it began with; give that table as data.classes=FILE, or "
                f"begin with the weights that fit by init_from={self.path}"
            )

    def compare_samples(self, samples: Mapping[str, Tensor]) -> None:
        """Warns, with numbers, where the data are others than those of the checkpoint."""
        for split in sorted(self.samples.keys() & samples.keys()):
            if changes := _changes(self.samples[split], samples[split]):
                log.warning(
                    "the data are not those that %s was trained on: in split `%s` %s. The training "
                    "goes on with what is there now",
                    *(self.path, split, changes),
                )


@contextmanager
def restoring(path: Path | None) -> Iterator[None]:
    """Names the checkpoint for what Lightning comes upon while it gives its parts to their owners.

    Raises:
        CheckpointError: a part that only the trainer knows is damaged.
    """
    try:
        yield
    except Exception as error:
        met = any(
            frame.f_globals.get("__name__", "").endswith(".connectors.checkpoint_connector")
            and frame.f_code.co_name.lstrip("_").startswith(("restore", "resume"))
            for frame, _ in walk_tb(error.__traceback__)
        )
        if path is None or isinstance(error, SegsuiteError) or not met:
            raise
        said = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} cannot be gone on from: what it holds of the training's state is damaged "
            f"({type(error).__name__}: {said}); type init_from={path} to begin with its weights"
        ) from error


def fingerprints(data: Any) -> dict[str, Tensor]:
    """(N, 2) int64 of each split: a digest of each sample's id, and one of its files' sizes.

    Data that cannot tell their samples have none; samples that are drawn have no files.
    """
    if not callable(getattr(data, "samples", None)):
        return {}
    return {split: fingerprint(data.samples(split)) for split in _SPLITS}


def fingerprint(samples: Samples) -> Tensor:
    """(N, 2) int64: a digest of each sample's id, and one of its files' sizes."""
    rows = [
        (_digest(sample), _digest(*map(_size, samples.files(index))))
        for index, sample in enumerate(samples.ids)
    ]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 2)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _digest(*facts: object) -> int:
    digest = hashlib.blake2b(repr(facts).encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def _changes(then: Tensor, now: Tensor) -> str:
    """ "3 were added, 1 is gone"; empty where there are none."""
    before, after = dict(then.tolist()), dict(now.tolist())
    both = before.keys() & after.keys()
    counts = {
        "added": len(after.keys() - before.keys()),
        "gone": len(before.keys() - after.keys()),
        "of another size than then": sum(before[sample] != after[sample] for sample in both),
    }
    told = [f"{count:,} {what}" for what, count in counts.items() if count]
    return f"{', '.join(told)}, of {len(before):,} samples then and {len(after):,} now" * bool(told)


def _difference(then: ClassTable, now: ClassTable) -> str:
    """The first way in which masks would mean something else; empty where there is none."""
    if len(then) != len(now):
        return f"{len(then)} classes there, {len(now)} here"
    theirs, ours = (zip(table.names, table.ids, strict=True) for table in (then, now))
    for number, (there, here) in enumerate(zip(theirs, ours, strict=True)):
        if there != here:
            return (
                f"class {number} is `{there[0]}` of id {there[1]} there and `{here[0]}` of id "
                f"{here[1]} here"
            )
    if then.ignore != now.ignore:
        return f"ids that are ignored: {then.ignore} there, {now.ignore} here"
    if set(then.ignored) != set(now.ignored):
        return f"ids that are ignored: {sorted(then.ignored)} there, {sorted(now.ignored)} here"
    return ""


def _check_since(ours: Any, theirs: Any, key: str, path: Path) -> None:
    """Raises CheckpointError for a setting of a part that came into the suite since, and that is
    another than what the part was without it: the same weights would mean another network."""
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return
    target = str(ours.get("_target_"))
    for name, value in ours.items():
        if name in theirs:  # parts of a network are typed beside it
            _check_since(value, theirs[name], f"{key.removesuffix('.network')}.{name}", path)
        elif target.startswith("segsuite."):
            before = default_of(locate(target, key), name)
            if value != before:
                raise CheckpointError(
                    f"{path} is of a training before {key}.{name} was a setting, which was then as "
                    f"with {before} and is {value} here; type {key}.{name}={before} to go on"
                )


def _check_whole(checkpoint: Mapping[str, Any], path: Path) -> None:
    try:
        for key, kind in _NEEDED.items():
            part(checkpoint, key, kind, path)
        if not checkpoint["optimizer_states"]:
            raise CheckpointError(f"{path} holds no state of an optimiser")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; or type init_from={path} to begin with its weights alone"
        ) from error


def stored_samples(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The fingerprints of the images that a checkpoint was trained with, by split.

    Raises:
        CheckpointError: they are damaged.
    """
    stored = part(checkpoint, SAMPLES_KEY, dict, path) if SAMPLES_KEY in checkpoint else {}
    for split in stored:
        rows = part(stored, split, Tensor, path)
        if rows.ndim != 2 or rows.shape[1] != 2 or rows.dtype != torch.int64:
            raise CheckpointError(f"{path} is damaged: its `{SAMPLES_KEY}` are no fingerprints")
    return stored


def _groups(state: Any, path: Path) -> list[int]:
    """The number of weights in each group of an optimiser's state."""
    try:
        return [len(group["params"]) for group in state["param_groups"]]
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged: no groups in its optimiser's state") from error


def _optimizer(config: Mapping[str, Any]) -> str | None:
    optimizer = config["method"].get("optimizer")
    return optimizer.get("_target_") if isinstance(optimizer, Mapping) else None


def _told(kind: str | None, groups: list[int]) -> str:
    return f"{kind or 'an optimiser'} of {' + '.join(map(str, groups))} weights"
