"""The ViT block and the ATM decoder layer in plain terms, from the equations of the papers."""

import torch
from torch import Tensor


def vit_block(w: dict[str, Tensor], x: Tensor, heads: int, context: Tensor, mask: Tensor) -> Tensor:
    """One block on one image: x (n, C), context (m, C), mask (n + m,) True for keys in use."""
    dim = x.shape[1]
    normed = torch.cat([layer_norm(w, "norm1", t, 1e-6) for t in (x, context)])
    q, k, v = (normed @ w["attn.qkv.weight"].T + w["attn.qkv.bias"]).split(dim, dim=1)
    q = q[: len(x)]
    out = torch.cat([_attend(q, k, v, h, dim // heads, mask)[0] for h in range(heads)], dim=1)
    x = x + out @ w["attn.proj.weight"].T + w["attn.proj.bias"]
    hidden = layer_norm(w, "norm2", x, 1e-6) @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return x + gelu @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]


def atm_layer(
    w: dict[str, Tensor], queries: Tensor, memory: Tensor, heads: int, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """One decoder layer on one image: queries (K, D), memory (n, D) -> (K, D), masks (K, n)."""
    dim = queries.shape[1]
    every = torch.ones(len(queries), dtype=torch.bool)
    packed = queries @ w["self_attention.qkv.weight"].T + w["self_attention.qkv.bias"]
    q, k, v = packed.split(dim, dim=1)
    out = torch.cat([_attend(q, k, v, h, dim // heads, every)[0] for h in range(heads)], dim=1)
    out = out @ w["self_attention.proj.weight"].T + w["self_attention.proj.bias"]
    x = layer_norm(w, "norm1", queries + out, 1e-5)

    q = x @ w["cross_attention.q.weight"].T + w["cross_attention.q.bias"]
    k, v = (memory @ w["cross_attention.kv.weight"].T + w["cross_attention.kv.bias"]).split(dim, 1)
    per_head = [_attend(q, k, v, h, dim // heads, mask) for h in range(heads)]
    out = torch.cat([update for update, _ in per_head], dim=1)
    masks = torch.stack([logits for _, logits in per_head]).mean(dim=0)
    out = out @ w["cross_attention.proj.weight"].T + w["cross_attention.proj.bias"]
    x = layer_norm(w, "norm2", x + out, 1e-5)

    hidden = (x @ w["fc1.weight"].T + w["fc1.bias"]).clamp(min=0)
    return layer_norm(w, "norm3", x + hidden @ w["fc2.weight"].T + w["fc2.bias"], 1e-5), masks


def layer_norm(w: dict[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    centered = x - x.mean(dim=1, keepdim=True)
    spread = (centered.square().mean(dim=1, keepdim=True) + eps).sqrt()
    return centered / spread * w[f"{name}.weight"] + w[f"{name}.bias"]


def _attend(
    q: Tensor, k: Tensor, v: Tensor, head: int, width: int, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """One head's update (n, width) and its scaled logits before the softmax (n, m)."""
    own = slice(head * width, (head + 1) * width)
    logits = q[:, own] @ k[:, own].T / width**0.5
    return logits.masked_fill(~mask, -torch.inf).softmax(dim=1) @ v[:, own], logits
