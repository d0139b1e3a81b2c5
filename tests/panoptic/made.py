"""A small panoptic network, as a checkpoint that no training has made."""

from pathlib import Path

import torch
import torch.nn.functional as F
from omegaconf import open_dict
from torch import Tensor, nn

from segsuite.core.checkpoint import save_checkpoint
from segsuite.data.class_table import ClassTable
from segsuite.data.scenes import Scenes
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint
from segsuite.nn.blocks import ConvNorm
from segsuite.nn.panoptic import PLACES, PanopticPrediction, PanopticSegmenter, in_pixels
from segsuite.nn.predictions import GridPrediction

SIZE = (64, 96)
CLASSES = Scenes(size=SIZE, num_classes=19, lengths={"val": 1}).own_classes


def blotches(count: int, *, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 12, generator=random) * 255
    return F.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 255)


class Small(PanopticSegmenter):
    """Two convolutions, at stride 4.

    Noise goes over its images: in flat ones heat would be the same everywhere, but for the last
    digit, by which runtimes differ.
    """

    num_classes = len(CLASSES)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8, kernel=3, stride=2)
        self.register_buffer("noise", blotches(1, seed=1) / 255 - 0.5)
        self.exit = nn.Conv2d(8, self.num_classes + PLACES, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> PanopticPrediction:
        maps = self.maps(images)
        size = (images.shape[-2], images.shape[-1])
        scores = GridPrediction(maps[:, :-PLACES])
        return PanopticPrediction(scores, in_pixels(maps[:, -PLACES:], size))

    def maps(self, images: Tensor) -> Tensor:
        return self.exit(self.stem(images.float() / 127.5 - 1 + self.noise))

    def predict(self, images: Tensor) -> PanopticPrediction:
        return self(images)


def small() -> Small:
    """The network at rest, which finds several instances of several classes in any image."""
    torch.manual_seed(0)
    network = Small()
    with torch.no_grad():
        network.exit.weight.mul_(5)
        for _ in range(20):
            network(images(4))
        network.eval()
        network.exit.bias -= network.maps(images(4)).mean(
            (0, 2, 3)
        )  # around 0, so that no class is always ahead
    return network


def images(count: int, *, seed: int = 0) -> Tensor:
    """Blotches, (count, 3, *SIZE) uint8."""
    return blotches(count, seed=seed).byte()


def made(path: Path, *typed: str, classes: ClassTable = CLASSES) -> Small:
    """Writes a checkpoint of the network as a training on scenes would leave it.

    Args:
        typed: more of the training's command line, as for other data of 19 classes.
    """
    size = f"data.crop_size={list(SIZE)}"
    usual = ("method.grouping.threshold=0.1", "method.grouping.kernel=7")  # as Grouping's own
    given = ["experiment=panoptic_scenes", size, "data.num_workers=0", *usual, *typed]
    cfg = compose("train", given)
    with open_dict(cfg):
        cfg.method.network = {"_target_": f"{__name__}.Small"}
    network = small()
    save_checkpoint(as_checkpoint(cfg, network, classes), path)
    return network
