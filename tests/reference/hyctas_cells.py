"""HyCTAS' attention cell as one would write it first, the matrix of all pairs included."""

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.methods.hyctas.operations import AttentionCell, SelfAttention


def attention_of_all_pairs(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, M, D), (B, N, D), (B, N, E) -> (B, M, E)."""
    return torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value


def self_attention(part: SelfAttention, x: Tensor) -> Tensor:
    """Pixel by pixel in reading order, as the paper's formula: gamma * A v + x."""
    batch, _, height, width = x.shape
    answer = torch.empty_like(x)
    for image in range(batch):
        q, k, v = (
            p(x[image : image + 1])[0].flatten(1) for p in (part.query, part.key, part.value)
        )
        for place in range(height * width):
            shares = torch.softmax(q[:, place] @ k, dim=0)
            answer[image, :, place // width, place % width] = v @ shares
    return part.gamma * answer + x


def attention_cell(cell: AttentionCell, x: Tensor) -> Tensor:
    """At rest."""
    seen = self_attention(cell.attention, cell.enter(x))
    if cell.stride == 2:
        seen = seen.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    return F.relu(cell.leave(F.relu(cell.norm(seen))) + cell.shortcut(x))
