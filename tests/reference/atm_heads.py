"""Both attention-to-mask heads on one image, layer by layer."""

import torch
from torch import Tensor

from tests.reference.vit_layers import atm_layer, layer_norm


def atm_stage(
    w: dict[str, Tensor], tokens: Tensor, queries: Tensor, heads: int, layers: int, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Queries (K, D) and the last layer's mask logits (K, n) of tokens (n, C)."""
    memory = layer_norm(w, "norm", tokens @ w["project.weight"].T + w["project.bias"], 1e-5)
    for index in range(layers):
        queries, masks = atm_layer(inner(w, f"layers.{index}."), queries, memory, heads, mask)
    return queries, masks


def atm_single(
    w: dict[str, Tensor], tokens: Tensor, heads: int, layers: int, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Mask logits (K, n) and class logits (K, 2)."""
    queries, masks = atm_stage(inner(w, "stage."), tokens, w["queries"], heads, layers, mask)
    return masks, queries @ w["classify.weight"].T + w["classify.bias"]


def atm_cascade(
    w: dict[str, Tensor], features: list[Tensor], heads: int, layers: int
) -> list[tuple[Tensor, Tensor]]:
    """Mask and class logits of every stage; features from shallow to deep, read from the end."""
    queries, total, found = w["queries"], 0, []
    for stage, tokens in enumerate(features[::-1]):
        mask = torch.ones(len(tokens), dtype=torch.bool)
        queries, masks = atm_stage(
            inner(w, f"stages.{stage}."), tokens, queries, heads, layers, mask
        )
        total = total + masks
        found.append((total, queries @ w["classify.weight"].T + w["classify.bias"]))
    return found


def inner(w: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in w.items() if name.startswith(prefix)}
