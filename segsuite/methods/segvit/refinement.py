"""Refinement: what patches that share a token, or whose token left early, say for themselves.

Ours. A window of 4x4 patches that share a token gets one answer for 64 x 64 pixels, and few such
windows are of one class. What a few small convolutions see in each patch is cheap beside a ViT:
that, what its token has come to, and its eight neighbours decide how a patch's masks differ from
those of its token. Two-branch networks such as BiSeNet (ECCV 2018) divide the work alike.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count
from segsuite.core.idle import counts_nothing
from segsuite.core.sizes import Size
from segsuite.nn.blocks import ConvNorm
from segsuite.ops.tokens import gather_tokens

_FIRST = 32
"""Channels of the first convolution, of 7x7 with a stride of 4; each has twice as many as the one
before. Two of 3x3 with a stride of 2 in its place have as many operations and take twice as long.
"""


@counts_nothing
def no_refinement(**_: object) -> None:
    """None, whatever the settings: `method/refinement=none` works on top of any experiment."""


class PatchRefinement(nn.Module):
    """What is added to the mask logits of each patch; 0 before it has been trained.

    Args:
        in_dim: width of the tokens, C.
        num_classes: number of classes, K.
        patch: side of a patch in pixels, a power of two from 4 on: a convolution with a stride of
            4, and one for each halving after it.
        dim: width in between.

    Shapes: tokens (B, n0, C), owner (B, N) int64, images (B, 3, rows * patch, columns * patch),
        N = rows * columns -> (B, K, N)

    Raises:
        ConfigError: a patch that no halving of 4x4 pixels leads to.
    """

    def __init__(
        self, *, in_dim: Count, num_classes: Count, patch: Count = 16, dim: Count = 192
    ) -> None:
        super().__init__()
        halvings = patch.bit_length() - 1
        if patch != 2**halvings or halvings < 2:
            raise ConfigError(
                f"method/refinement=patches halves images down to patches, but method.backbone."
                f"patch={patch} is no power of two from 4 on; type method/refinement=none"
            )
        self.norm = nn.LayerNorm(in_dim, eps=1e-6)
        self.of_tokens = nn.Linear(in_dim, dim)
        widths = [3, *(_FIRST * 2**step for step in range(halvings - 2)), dim]
        stem, *halve = pairwise(widths)
        self.of_pixels = nn.Sequential(
            ConvNorm(*stem, kernel=7, stride=4, relu=bool(halve)),
            *(ConvNorm(*each, kernel=3, stride=2, relu=each != halve[-1]) for each in halve),
        )
        self.around = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.classify = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.of_tokens.weight, std=0.02)
        for tensor in (self.of_tokens.bias, self.classify.weight, self.classify.bias):
            nn.init.zeros_(tensor)

    def load_initial_weights(self) -> None:
        """Nothing: it begins as it was drawn. By this `init_from` takes it whole or not at all."""

    def forward(self, tokens: Tensor, owner: Tensor, images: Tensor, grid: Size) -> Tensor:
        """The changes of the logits.

        Args:
            tokens: features of every slot.
            owner: the slot of each patch.
            images: normalised.
            grid: number of patches in (rows, columns).
        """
        of_tokens = gather_tokens(self.of_tokens(self.norm(tokens)), owner)
        maps = of_tokens.transpose(1, 2).unflatten(2, grid)
        maps = F.gelu(maps + self.of_pixels(images))
        maps = F.gelu(maps + self.around(maps))
        return self.classify(maps.flatten(2).transpose(1, 2)).transpose(1, 2)
