"""Small networks of whole experiments, as checkpoints that no training has made."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from segsuite.core.build import build
from segsuite.core.checkpoint import save_checkpoint
from segsuite.data.scenes import Scenes
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint

SMALL = (
    "data=scenes",
    "data.crop_size=[64,96]",
    "method.backbone.dim=24",
    "method.backbone.depth=4",
    "method.backbone.heads=2",
    "method.backbone.weights=none",
    "method.head.dim=16",
    "method.head.heads=2",
)


def made(path: Path, *overrides: str) -> Path:
    """A checkpoint of an experiment at a small size, with weights that are drawn."""
    cfg = compose("train", [*SMALL, *overrides])
    torch.manual_seed(0)
    network = build(cfg.method.network, path="method.network")
    for parameter in network.parameters():  # wide enough that labels differ within an image
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    classes = Scenes(size=(64, 96), num_classes=19, lengths={"val": 1}).own_classes
    save_checkpoint(as_checkpoint(cfg, network, classes), path)
    return path


def called(main: Callable[[], None], *arguments: str) -> int:
    """The exit code of an entry point in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["entry_point", *arguments])
        try:
            main()
        except SystemExit as stop:
            return stop.code
    return 0
