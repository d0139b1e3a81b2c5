"""The plain vision transformer (Dosovitskiy et al., 2021), as mmsegmentation uses it for SegViT.

No class token and no final norm: heads read the raw residual stream. The pieces (embedding of
patches, positions, blocks) are public, because token sharing and pruning work between them.
Parameters are named as in timm.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Share
from segsuite.core.idle import counts
from segsuite.core.sizes import Size, check_size
from segsuite.nn.backbones.positions import resize_patch_embedding, resize_position
from segsuite.nn.backbones.vit_weights import load_vit_weights
from segsuite.nn.drop_path import DropPath
from segsuite.ops.patches import patchify


@counts(drop_path_on={"drop_path": ()})
class VisionTransformer(nn.Module):
    """Patch tokens through `depth` pre-norm blocks.

    Args:
        dim: width of a token.
        depth: number of blocks.
        heads: number of attention heads; must divide `dim`.
        image_size: (height, width) that the position embedding is stored for; other sizes work.
        patch: side of a patch in pixels.
        mlp_ratio: width of the MLP's hidden layer over `dim`.
        drop_path: drop probability of the last block's branches, growing linearly from 0.
        drop_path_on: which branches are dropped: mmsegmentation drops only the MLP branch, timm
            both.
        weights: weights to begin with: "none", a timm name, or a file; read by
            `load_initial_weights` alone.

    Shapes: images (B, 3, H, W), normalised -> (B, H / patch * W / patch, dim)
    """

    def __init__(
        self,
        *,
        dim: Count,
        depth: Count,
        heads: Count,
        image_size: Sequence[int],
        patch: Count = 16,
        mlp_ratio: float = 4.0,
        drop_path: Share = 0.0,
        drop_path_on: Literal["mlp", "both"] = "mlp",
        weights: str = "none",
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(
                f"method.backbone.heads={heads} does not divide method.backbone.dim={dim}"
            )
        height, width = image_size
        larger = {"token sharing": 2 * patch, "windows of 4x4 that share": 4 * patch}
        check_size((height, width), patch, beside=larger)
        self.dim, self.depth, self.patch, self.weights = dim, depth, patch, weights
        self.grid: Size = (height // patch, width // patch)
        self.patch_embed = PatchEmbedding(dim, patch)
        self.pos_embed = nn.Parameter(torch.empty(1, self.grid[0] * self.grid[1], dim))
        hidden = int(dim * mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(dim, heads, hidden, drop_path * i / max(depth - 1, 1), drop_path_on)
            for i in range(depth)
        )
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        grid = (images.shape[-2] // self.patch, images.shape[-1] // self.patch)
        x = self.embed_patches(patchify(images, self.patch)) + self.position(grid)
        for block in self.blocks:
            x = block(x)
        return x

    def embed_patches(self, pixels: Tensor) -> Tensor:
        """(B, n, dim): patches embedded, without positions.

        Shapes: pixels (B, n, 3 * patch * patch), flattened as by `patchify`
        """
        return self.patch_embed(pixels)

    def position(self, grid: Size) -> Tensor:
        """(1, gh * gw, dim): the position embedding resized to `grid`.

        Bicubic without antialiasing, as in mmsegmentation (timm antialiases, which gives other
        values).
        """
        return resize_position(self.pos_embed, self.grid, grid)

    def adapted(self, name: str, weight: Tensor, made: Mapping[str, Any]) -> Tensor | None:
        """Positions of another image size, resized to this backbone's; None for another width.

        Args:
            name: "pos_embed", the one weight that this module itself holds.
            weight: the position embedding, (1, N, C), stored by a backbone that was made with the
                arguments `made`.
        """
        height, width = made["image_size"]
        patch = made.get("patch", 16)  # what backbones had before they said
        grid = (height // patch, width // patch)
        if weight.shape != (1, grid[0] * grid[1], self.dim):
            return None
        return resize_position(weight, grid, self.grid)

    def load_initial_weights(self) -> None:
        """Loads what `weights` names.

        Raises:
            CheckpointError: the file or hub cannot be read, or holds another network.
            ConfigError: the name is neither a file nor known to timm.
        """
        if self.weights != "none":
            load_vit_weights(self, self.weights)


class PatchEmbedding(nn.Module):
    """Patches as tokens: a convolution whose stride is its size, applied to patches cut before.

    Shapes: pixels (B, n, 3 * patch * patch) -> (B, n, dim)
    """

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = PatchKernel(3, dim, patch, stride=patch)  # a convolution for names and shape

    def forward(self, pixels: Tensor) -> Tensor:
        return F.linear(pixels, self.proj.weight.flatten(1), self.proj.bias)


class PatchKernel(nn.Conv2d):
    """A convolution that begins with the kernel of another patch size."""

    def adapted(self, name: str, weight: Tensor, made: Mapping[str, Any]) -> Tensor | None:
        """The kernel resized to this one's size; None for another width.

        Shapes: weight of name "weight" (C, 3, p, p) -> (C, 3, patch, patch)
        """
        if name != "weight":
            return weight
        if weight.shape[:2] != self.weight.shape[:2]:
            return None
        return resize_patch_embedding(weight, self.weight.shape[-1])


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)).

    Shapes: x (B, n, C), context (B, m, C), key_mask (B, n + m) bool -> (B, n, C)
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, drop_path: float, drop_path_on: str
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, hidden)
        self.drop1 = DropPath(drop_path) if drop_path_on == "both" else nn.Identity()
        self.drop2 = DropPath(drop_path)

    def forward(
        self, x: Tensor, context: Tensor | None = None, key_mask: Tensor | None = None
    ) -> Tensor:
        """The tokens `x`, updated.

        Args:
            context: tokens that are attended to, but not updated.
            key_mask: True where a token (of x, then of context) may be attended to.
        """
        beside = None if context is None else self.norm1(context)
        x = x + self.drop1(self.attn(self.norm1(x), beside, key_mask))
        return x + self.drop2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """Multi-head attention of `x` to itself and to `context`.

    Args:
        dropout: dropout probability of what is attended to.

    Shapes: x (B, n, C), context (B, m, C), key_mask (B, n + m) bool -> (B, n, C)
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, x: Tensor, context: Tensor | None = None, key_mask: Tensor | None = None
    ) -> Tensor:
        query, key, value = self._split(self.qkv(x), 3)
        if context is not None:
            dim = x.shape[-1]
            packed = F.linear(context, self.qkv.weight[dim:], self.qkv.bias[dim:])
            more_keys, more_values = self._split(packed, 2)
            key = torch.cat([key, more_keys], dim=2)
            value = torch.cat([value, more_values], dim=2)
        mask = None if key_mask is None else key_mask[:, None, None]
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.proj(out.transpose(1, 2).flatten(2))

    def _split(self, packed: Tensor, parts: int) -> tuple[Tensor, ...]:
        """`parts` tensors (B, heads, n, C / heads) out of (B, n, parts * C)."""
        return packed.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them.

    Shapes: x (B, n, C) -> (B, n, C)
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def _initialise(module: nn.Module) -> None:
    """Truncated normal weights and zero biases; layer norms keep torch's ones and zeros."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
