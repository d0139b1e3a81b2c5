"""What had another name once: import paths, as checkpoints and configs have them, and sweeps."""

from collections.abc import Mapping
from typing import Any

MOVED: dict[str, str] = {
    "segsuite.data.coco_instances": "segsuite.data.readers.coco_instances",
    "segsuite.data.decode": "segsuite.data.readers.decode",
    "segsuite.data.decode.GreenChannel": "segsuite.data.readers.instance_files.GreenChannel",
    "segsuite.data.decode.ThingNumbers": "segsuite.data.readers.instance_files.ThingNumbers",
    "segsuite.data.paired_files": "segsuite.data.readers.paired_files",
    "segsuite.data.readers.decode.GreenChannel": (
        "segsuite.data.readers.instance_files.GreenChannel"
    ),
    "segsuite.data.readers.decode.ThingNumbers": (
        "segsuite.data.readers.instance_files.ThingNumbers"
    ),
    "segsuite.engine.callbacks.pictures.Pictures": (
        "segsuite.engine.callbacks.images.PredictionImages"
    ),
    "segsuite.engine.inference.MultiScale": "segsuite.engine.inference.modes.MultiScale",
    "segsuite.engine.inference.Slide": "segsuite.engine.inference.modes.Slide",
    "segsuite.engine.inference.Whole": "segsuite.engine.inference.modes.Whole",
    "segsuite.engine.loggers.tensorboard_events.TensorBoardLogger": (
        "segsuite.engine.loggers.tensorboard.TensorBoardLogger"
    ),
    "segsuite.engine.sweep_table": "segsuite.engine.launch.sweep_table",
    "segsuite.methods.mobile.loss": "segsuite.nn.pixel_loss",
}
"""Old import path to new one: of a module, or of a class or function. One step each: a path that
moves again is changed here, too."""

SWEEPS: dict[str, str] = {
    "distortions": "hyctas_distortions",
    "head_positions": "pruning_positions",
}
"""Old name of a sweep to new one. Typed by the old one it goes on in the folder of that name."""


def today(target: str) -> str:
    """Where `target` stands now: itself, unless it or a module above it has moved."""
    head, tail = target, ""
    while head:
        if head in MOVED:
            return MOVED[head] + tail
        head, _, last = head.rpartition(".")
        tail = f".{last}{tail}"
    return target


def with_targets_of_today(config: Any) -> Any:
    """A config of plain dicts and lists with each `_target_` in it where it stands now."""
    if isinstance(config, Mapping):
        named = {key: with_targets_of_today(value) for key, value in config.items()}
        if isinstance(named.get("_target_"), str):
            named["_target_"] = today(named["_target_"])
        return named
    if isinstance(config, list):
        return [with_targets_of_today(value) for value in config]
    return config
