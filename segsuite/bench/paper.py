"""The figures that papers print for our experiments, to stand beside ours."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from omegaconf import OmegaConf

from segsuite.core.sizes import Size


@dataclass(frozen=True)
class Published:
    """What a paper prints for one network.

    Attributes:
        gflops: operations as fvcore counts them, without the policy network.
        size, classes: image size and number of classes that this count is for.
        miou: mIoU on ADE20K, in percent.
        fps: images a second at batch 1 on `device`.
        source: paper and table that the numbers stand in.
        differs: why our network may count otherwise.
    """

    gflops: float
    size: tuple[int, int]
    classes: int
    miou: float
    fps: float
    device: str
    source: str
    differs: str

    def comparable(self, size: Size, classes: int) -> bool:
        """Whether a count at that size, for so many classes, may stand beside `gflops`."""
        return self.size == tuple(size) and self.classes == classes


@cache
def published() -> dict[str, Published]:
    """By the name of the experiment."""
    text = files("segsuite.bench").joinpath("paper.yaml").read_text()
    content = OmegaConf.to_container(OmegaConf.create(text))
    return {
        name: Published(**figures | {"size": tuple(figures["size"])})
        for name, figures in content["figures"].items()
    }


def printed_mious() -> dict[str, dict[str, float]]:
    """mIoU in percent that papers print, by data set and experiment."""
    return _printed()["miou"]


def own_mious() -> dict[str, dict[str, float]]:
    """The same of this suite's READMEs: what its experiments reached in training."""
    return _printed()["own"]


@cache
def _printed() -> dict[str, Any]:
    text = files("segsuite.bench").joinpath("printed.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)
