"""Small networks that keep the contract, with the traits that measuring must cope with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.nn.predictions import GridPrediction
from segsuite.nn.segmenter import Segmenter
from segsuite.nn.token_trace import TokenStage, TokenTrace


class Policy(nn.Module):
    """A small network that papers would leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(6)])

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).mean((1, 2, 3))


class ToyTokens(Segmenter):
    """Patches through five linear blocks; after the second, dark patches leave.

    `embed` is used as a function, as token sharing does with a ViT's patch embedding.
    """

    excluded_from_cost = ("policy",)
    size_divisor = 8

    def __init__(self, *, dim: int = 4, classes: int = 3, masks: bool = False) -> None:
        super().__init__()
        self.num_classes, self.masks = classes, masks
        self.policy = Policy()
        self.embed = nn.Conv2d(3, dim, 8, stride=8)
        self.trunk = nn.ModuleDict({"blocks": nn.ModuleList(nn.Linear(dim, dim) for _ in range(5))})
        self.head = nn.Linear(dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.predict(images).grid_scores

    def predict(self, images: Tensor) -> GridPrediction:
        pixels = images.float() / 255
        self.policy(pixels)
        patches = F.unfold(pixels, 8, stride=8).transpose(1, 2)
        tokens = F.linear(patches, self.embed.weight.flatten(1), self.embed.bias)
        count = tokens.shape[1]
        slots = torch.arange(count).expand(tokens.shape[0], -1)
        stages = [TokenStage(after=0, slots=slots)]
        for done, block in enumerate(self.trunk["blocks"]):
            if done == 2:
                bright = patches.mean(-1) > 0.5
                valid = bright if self.masks else None
                if not self.masks:
                    slots = bright[0].nonzero()[:, 0][None]
                stages.append(TokenStage(after=2, slots=slots, valid=valid))
            here = tokens.gather(1, slots[..., None].expand(-1, -1, tokens.shape[-1]))
            tokens = tokens.scatter(1, slots[..., None].expand_as(here), block(here))
        side = (images.shape[-2] // 8, images.shape[-1] // 8)
        scores = self.head(tokens).transpose(1, 2).unflatten(2, side)
        owner = torch.arange(count).expand(tokens.shape[0], -1)
        return GridPrediction(scores, TokenTrace(side, 8, owner, tuple(stages)))


def half_bright(height: int = 32, width: int = 32) -> Tensor:
    """(1, 3, H, W) uint8: white on the left, black on the right."""
    image = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    image[..., : width // 2] = 255
    return image
