"""The same vision transformer's weights as other projects store them."""

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]


def with_classifier(state: State, dim: int, classes: int = 7) -> State:
    """timm's full model: a class token with its position, a final norm, a head."""
    extra = {
        "cls_token": torch.randn(1, 1, dim),
        "norm.weight": torch.randn(dim),
        "norm.bias": torch.randn(dim),
        "head.weight": torch.randn(classes, dim),
        "head.bias": torch.randn(classes),
    }
    position = torch.cat([torch.randn(1, 1, dim), state["pos_embed"]], dim=1)
    return {**state, **extra, "pos_embed": position}


def as_mmseg(state: State) -> State:
    """A whole mmsegmentation segmentor, its decode head a stand-in."""
    found = {"decode_head.conv_seg.weight": torch.randn(2, 2, 1, 1)}
    names = {
        "patch_embed.proj": "patch_embed.projection",
        "norm1": "ln1",
        "norm2": "ln2",
        "attn.proj": "attn.attn.out_proj",
        "mlp.fc1": "ffn.layers.0.0",
        "mlp.fc2": "ffn.layers.1",
    }
    for name, weight in state.items():
        if name.startswith(("head.", "norm.")):
            continue
        name = name.replace("blocks.", "layers.").replace("attn.qkv.", "attn.attn.in_proj_")
        for ours, theirs in names.items():
            name = name.replace(f"{ours}.", f"{theirs}.") if f"{ours}." in name else name
        found[f"backbone.{name}"] = weight
    return found


def as_augreg(state: State, depth: int, heads: int) -> dict[str, np.ndarray]:
    """The arrays of an AugReg .npz."""
    found = {
        "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    parts = ("LayerNorm_0", "LayerNorm_2", "MultiHeadDotProductAttention_1", "MlpBlock_3")
    for index in range(depth):
        for name, array in _jax_block(state, index, heads, *parts).items():
            found[f"Transformer/encoderblock_{index}/{name}"] = array
    return {name: array.numpy() for name, array in found.items()}


def as_big_vision(state: State, depth: int, heads: int) -> dict[str, np.ndarray]:
    """The arrays of a big_vision .npz without class token: blocks stacked."""
    found = {
        "params/embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "params/embedding/bias": state["patch_embed.proj.bias"],
        "params/pos_embedding": state["pos_embed"][:, 1:],
        "params/Transformer/encoder_norm/scale": state["norm.weight"],
    }
    parts = ("LayerNorm_0", "LayerNorm_1", "MultiHeadDotProductAttention_0", "MlpBlock_0")
    blocks = [_jax_block(state, index, heads, *parts) for index in range(depth)]
    for name in blocks[0]:
        stacked = torch.stack([block[name] for block in blocks])
        found[f"params/Transformer/encoderblock/{name}"] = stacked
    return {name: array.numpy() for name, array in found.items()}


def _jax_block(
    state: State, index: int, heads: int, norm1: str, norm2: str, attention: str, mlp: str
) -> State:
    w = {n.split(".", 2)[2]: t for n, t in state.items() if n.startswith(f"blocks.{index}.")}
    dim = w["attn.proj.bias"].shape[0]
    found = {}
    for ours, theirs in (("norm1", norm1), ("norm2", norm2)):
        found[f"{theirs}/scale"] = w[f"{ours}.weight"]
        found[f"{theirs}/bias"] = w[f"{ours}.bias"]
    for which, weight, bias in zip(
        ("query", "key", "value"),
        w["attn.qkv.weight"].chunk(3),
        w["attn.qkv.bias"].chunk(3),
        strict=True,
    ):
        found[f"{attention}/{which}/kernel"] = weight.T.reshape(dim, heads, dim // heads)
        found[f"{attention}/{which}/bias"] = bias.reshape(heads, dim // heads)
    out = w["attn.proj.weight"].T.reshape(heads, dim // heads, dim)
    found[f"{attention}/out/kernel"] = out
    found[f"{attention}/out/bias"] = w["attn.proj.bias"]
    for ours, theirs in (("fc1", "Dense_0"), ("fc2", "Dense_1")):
        found[f"{mlp}/{theirs}/kernel"] = w[f"mlp.{ours}.weight"].T
        found[f"{mlp}/{theirs}/bias"] = w[f"mlp.{ours}.bias"]
    return found
