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

_FIRST = 16
"""Channels of the first convolution; each has twice as many as the one before."""


@counts_nothing
def no_refinement(**_: object) -> None:
    """None, whatever the settings: `method/refinement=none` works on top of any experiment."""


class PatchRefinement(nn.Module):
    """What is added to the mask logits of each patch; 0 before it has been trained.

    Args:
        in_dim: width of the tokens, C.
        num_classes: number of classes, K.
        patch: side of a patch in pixels, a power of two: one convolution for each halving.
        dim: width in between.

    Shapes: tokens (B, n0, C), owner (B, N) int64, images (B, 3, rows * patch, columns * patch),
        N = rows * columns -> (B, K, N)

    Raises:
        ConfigError: a patch that halving does not lead to.
    """

    def __init__(
        self, *, in_dim: Count, num_classes: Count, patch: Count = 16, dim: Count = 192
    ) -> None:
        super().__init__()
        halvings = patch.bit_length() - 1
        if patch != 2**halvings or halvings < 1:
            raise ConfigError(
                f"method/refinement=patches halves images down to patches, but method.backbone."
                f"patch={patch} is no power of two; type method/refinement=none"
            )
        self.norm = nn.LayerNorm(in_dim, eps=1e-6)
        self.of_tokens = nn.Linear(in_dim, dim)
        widths = [3, *(_FIRST * 2**step for step in range(halvings - 1)), dim]
        steps = enumerate(pairwise(widths), start=1)
        self.of_pixels = nn.Sequential(
            *(ConvNorm(*of, kernel=3, stride=2, relu=step < halvings) for step, of in steps)
        )
        self.around = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.classify = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.of_tokens.weight, std=0.02)
        for tensor in (self.of_tokens.bias, self.classify.weight, self.classify.bias):
            nn.init.zeros_(tensor)

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
