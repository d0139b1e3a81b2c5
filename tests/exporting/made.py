"""Networks and data small enough to export in a moment."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.data.samples import Sample
from segsuite.nn.blocks import ConvNorm
from segsuite.nn.predictions import StridedPrediction
from segsuite.nn.segmenter import Segmenter

SIZE = (33, 48)
CLASSES = 19


class Small(Segmenter):
    """Convolutions with batch norm and a pooled vector, at stride 4."""

    num_classes = CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8, kernel=3, stride=2)
        self.deep = ConvNorm(8, 8, kernel=3, stride=2)
        self.pooled = ConvNorm(8, 8)
        self.exit = nn.Conv2d(8, CLASSES, 1)

    def forward(self, images: Tensor) -> StridedPrediction:
        x = self.deep(self.stem(images.float() / 127.5 - 1))
        x = x + self.pooled(x.mean((2, 3), keepdim=True))
        return StridedPrediction(self.exit(x), seen=tuple(images.shape[-2:]), stride=4)

    def predict(self, images: Tensor) -> StridedPrediction:
        return self(images)


class Unknown(Small):
    """Has a step that no runtime knows."""

    def forward(self, images: Tensor) -> StridedPrediction:
        found = super().forward(images)
        strange = torch.special.airy_ai(found.grid_scores)
        return StridedPrediction(strange, seen=found.seen, stride=4)


def small(kind: type[Small] = Small) -> Small:
    """The network at rest, with batch norms that have seen something and scores of size 1."""
    torch.manual_seed(0)
    network = kind()
    with torch.no_grad():
        network.exit.weight.mul_(5)
        network.train()
        for _ in range(20):
            network(images(8))
    return network.eval()


def images(count: int, *, seed: int = 0) -> Tensor:
    """Smooth images, (count, 3, *SIZE) uint8."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 5, generator=random) * 255
    return F.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 255).to(torch.uint8)


class Data:
    """What an export asks of a data set."""

    def __init__(self, *, train: int, val: int) -> None:
        self._counts = {"train": train, "val": val}

    def eval_transform(self, image: Tensor) -> Tensor:
        return image

    def samples(self, split: str) -> list[Sample]:
        drawn = images(self._counts[split], seed=len(split))
        label = torch.arange(SIZE[1]).expand(SIZE) % CLASSES
        return [Sample(str(n), image, label) for n, image in enumerate(drawn)]
