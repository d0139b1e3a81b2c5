"""Attention-to-mask heads (Zhang et al., SegViT, NeurIPS 2022).

One query per class attends to the tokens; the attention logits of the last layer are that class's
mask. `AtmSingle` is the head of DToP, `AtmCascade` that of SegViT v1.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Share
from segsuite.methods.segvit.head import AtmOutput, Head
from segsuite.methods.segvit.predictions import (
    CascadePrediction,
    cascade_prediction,
    single_prediction,
)
from segsuite.nn.backbones.vit import Attention
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.token_trace import TokenTrace


class AtmSingle(Head):
    """One stage of queries, which answer present or absent (the head of DToP).

    Args:
        in_dim: width of the tokens.
        dim: width of the head; None for half of `in_dim`, but 192 where that would be less.
        num_classes: K, the number of queries.
        heads: attention heads; None for one per 64 channels.
        layers: number of decoder layers.
        dropout: dropout in attention, residuals and feed-forward.

    Shapes: tokens (B, n, in_dim), valid (B, n) bool -> masks (B, K, n), classes (B, K, 2)
    """

    def __init__(
        self,
        *,
        in_dim: Count,
        num_classes: Count,
        dim: Count | None = None,
        heads: Count | None = None,
        layers: Count = 3,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        dim = dim or max(in_dim // 2, min(in_dim, 192))
        self.queries = nn.Parameter(torch.randn(num_classes, dim))
        self.stage = AtmStage(in_dim, dim, heads or max(dim // 64, 1), layers, dropout)
        self.classify = nn.Linear(dim, 2)
        self.apply(_initialise)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> AtmOutput:
        """Masks and presence; tokens that are not `valid` get masks, but are not attended to."""
        queries = self.queries.expand(tokens.shape[0], -1, -1)
        queries, masks = self.stage(tokens, queries, valid)
        return AtmOutput(masks, self.classify(queries))

    def prediction(self, output: AtmOutput, trace: TokenTrace | None = None) -> GridPrediction:
        return single_prediction(output, trace)


class AtmCascade(Head):
    """Stages that read ever shallower features and pass their queries on (SegViT v1).

    Queries and classifier are shared by the stages. Masks add up over the stages.

    Args:
        in_dim, num_classes, layers, dropout: as for `AtmSingle`.
        dim: width of the head; None for half of `in_dim`.
        heads: attention heads; None for one per 32 channels.
        stages: how many features are read.

    Shapes: `stages` features (B, n, in_dim)
        -> as many outputs: masks (B, K, n), classes (B, K, K + 1)
    """

    reads_taps = True

    def __init__(
        self,
        *,
        in_dim: Count,
        num_classes: Count,
        dim: Count | None = None,
        heads: Count | None = None,
        layers: Count = 3,
        stages: Count = 3,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        dim = dim or in_dim // 2
        heads = heads or max(dim // 32, 1)
        self.queries = nn.Parameter(torch.randn(num_classes, dim))
        self.stages = nn.ModuleList(
            AtmStage(in_dim, dim, heads, layers, dropout) for _ in range(stages)
        )
        self.classify = nn.Linear(dim, num_classes + 1)
        self.apply(_initialise)

    def forward(self, features: Sequence[Tensor]) -> list[AtmOutput]:
        """One output per stage, from the deepest feature to the shallowest; the last is the answer.

        Args:
            features: features of the stages, from shallow to deep.
        """
        if len(features) != len(self.stages):
            raise ConfigError(
                f"AtmCascade has method.head.stages={len(self.stages)}, but the backbone gives "
                f"{len(features)} features; set method.head.stages={len(features)}"
            )
        queries = self.queries.expand(features[0].shape[0], -1, -1)
        outputs: list[AtmOutput] = []
        for stage, tokens in zip(self.stages, reversed(features), strict=True):
            queries, masks = stage(tokens, queries)
            masks = outputs[-1].masks + masks if outputs else masks
            outputs.append(AtmOutput(masks, self.classify(queries)))
        return outputs

    def prediction(self, output: AtmOutput, trace: TokenTrace | None = None) -> CascadePrediction:
        return cascade_prediction(output, trace)


class AtmStage(nn.Module):
    """Tokens projected to the head's width, then decoder layers.

    Shapes: tokens (B, n, in_dim), queries (B, K, D), valid (B, n)
        -> queries (B, K, D), masks (B, K, n)
    """

    def __init__(self, in_dim: int, dim: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"method.head.heads={heads} does not divide method.head.dim={dim}")
        self.project = nn.Linear(in_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(AtmLayer(dim, heads, dropout) for _ in range(layers))

    def forward(
        self, tokens: Tensor, queries: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        memory = self.norm(self.project(tokens))
        for layer in self.layers[:-1]:
            queries, _ = layer(queries, memory, valid)
        return self.layers[-1](queries, memory, valid, with_masks=True)


class AtmLayer(nn.Module):
    """A post-norm transformer decoder layer: queries to queries, queries to tokens, feed-forward.

    Shapes: queries (B, K, D), memory (B, n, D), valid (B, n) -> queries (B, K, D), masks (B, K, n)
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(dim, heads, dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, queries: Tensor, memory: Tensor, valid: Tensor | None, *, with_masks: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        x = self.norm1(queries + self.dropout(self.self_attention(queries)))
        update, masks = self.cross_attention(x, memory, valid, with_masks)
        x = self.norm2(x + self.dropout(update))
        update = self.fc2(self.dropout(F.relu(self.fc1(x))))
        return self.norm3(x + self.dropout(update)), masks


class CrossAttention(nn.Module):
    """Multi-head attention of the queries to the tokens, and its logits as masks.

    A mask is the mean over heads of the scaled attention logits. The original keeps every head's
    logits; their mean is one product of the unsplit queries and keys, so that the attention itself
    can run fused and never holds them.

    Shapes: queries (B, K, D), memory (B, n, D), valid (B, n) -> update (B, K, D), masks (B, K, n)
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, queries: Tensor, memory: Tensor, valid: Tensor | None, with_masks: bool
    ) -> tuple[Tensor, Tensor | None]:
        query = self.q(queries)
        key, value = self.kv(memory).chunk(2, dim=-1)
        out = F.scaled_dot_product_attention(
            self._split(query),
            self._split(key),
            self._split(value),
            attn_mask=None if valid is None else valid[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        masks = None
        if with_masks:
            scale = (query.shape[-1] // self.heads) ** -0.5 / self.heads
            masks = (query * scale) @ key.transpose(1, 2)
        return self.proj(out.transpose(1, 2).flatten(2)), masks

    def _split(self, x: Tensor) -> Tensor:
        """(B, heads, n, D / heads) out of (B, n, D)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _initialise(module: nn.Module) -> None:
    """Truncated normal weights and zero biases; layer norms keep torch's ones and zeros."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):
        # As torch's packed projection. The original's layers start as copies; here each draws anew.
        nn.init.xavier_uniform_(module.qkv.weight)
