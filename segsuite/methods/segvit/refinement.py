"""Refinement: what patches that share a token, or whose token left early, say for themselves.

Ours. A window of 4x4 patches that share a token gets one answer for 64 x 64 pixels, and few windows
are of one class. Each patch's own pixels are cheap to look at, though: one linear layer, what its
token has come to, and its eight neighbours decide how its masks differ from those of its token.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.hints import Count
from segsuite.core.idle import counts_nothing
from segsuite.core.sizes import Size
from segsuite.ops.tokens import gather_tokens


@counts_nothing
def no_refinement(**_: object) -> None:
    """None, whatever the settings: `method/refinement=none` works on top of any experiment."""


class PatchRefinement(nn.Module):
    """What is added to the mask logits of each patch; 0 before it has been trained.

    Args:
        in_dim: width of the tokens, C.
        num_classes: number of classes, K.
        patch: side of a patch in pixels.
        dim: width in between.

    Shapes: tokens (B, n0, C), owner (B, N) int64, patches (B, N, 3 * patch * patch), N the product
        of the grid -> (B, K, N)
    """

    def __init__(
        self, *, in_dim: Count, num_classes: Count, patch: Count = 16, dim: Count = 192
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim, eps=1e-6)
        self.of_tokens = nn.Linear(in_dim, dim)
        self.of_pixels = nn.Linear(3 * patch * patch, dim, bias=False)
        self.around = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.classify = nn.Linear(dim, num_classes)
        for layer in (self.of_tokens, self.of_pixels):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        for tensor in (self.of_tokens.bias, self.classify.weight, self.classify.bias):
            nn.init.zeros_(tensor)

    def forward(self, tokens: Tensor, owner: Tensor, patches: Tensor, grid: Size) -> Tensor:
        """The changes of the logits.

        Args:
            tokens: features of every slot.
            owner: the slot of each patch.
            patches: normalised pixels of each patch, flattened as by `patchify`.
            grid: number of patches in (rows, columns).
        """
        of_tokens = gather_tokens(self.of_tokens(self.norm(tokens)), owner)
        x = F.gelu(of_tokens + self.of_pixels(patches))
        maps = x.transpose(1, 2).unflatten(2, grid)
        return self.classify(F.gelu(maps + self.around(maps)).flatten(2).transpose(1, 2)).mT
