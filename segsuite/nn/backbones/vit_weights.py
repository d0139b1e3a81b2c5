"""Pretrained weights of vision transformers, from every layout in use to ours.

Layouts are told apart by their keys: timm (and DeiT, and checkpoints of ours), mmsegmentation 0.x
and 1.x, and JAX `.npz` files of AugReg and of big_vision.
"""

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from segsuite.core.checkpoint import load_weights
from segsuite.core.errors import CheckpointError
from segsuite.core.sizes import Size
from segsuite.nn.backbones.hub import pretrained_file
from segsuite.nn.backbones.positions import (
    position_rows,
    resize_patch_embedding,
    resize_position,
)
from segsuite.nn.backbones.weight_files import KEY, State, read_tensors, renamed, weights_file

_LEFT_OUT = re.compile(r"(cls_token|dist_token|(head|head_dist|norm|fc_norm|pre_logits)\..*)$")
"""Parts of a classifier that a backbone without class token and final norm does not have."""
_BLOCK = re.compile(r"blocks\.(\d+)\.")

log = logging.getLogger(__name__)


def load_vit_weights(backbone: nn.Module, source: str) -> str:
    """Loads every weight of `backbone` from a file or by timm name; a line that says what was done.

    Positions are resized to the backbone's grid (bicubic, no antialiasing), the embedding to its
    patch size, and blocks behind its last are left out.

    Args:
        backbone: the `VisionTransformer` that gets the weights.

    Raises:
        CheckpointError: unreadable, of no known layout, or of another network.
        ConfigError: neither a file nor a name that timm knows.
    """
    state, layout = read_vit_weights(weights_file(source, fetch=partial(pretrained_file, key=KEY)))
    depth, patch = cast(int, backbone.depth), cast(int, backbone.patch)
    behind = {name for name in state if (own := _BLOCK.match(name)) and int(own[1]) >= depth}
    left_out = sorted(name for name in state if _LEFT_OUT.match(name) or name in behind)
    tokens = sum(name in state for name in ("cls_token", "dist_token"))
    state = {name: weight for name, weight in state.items() if name not in left_out}
    own = cast(Size, backbone.grid)
    position, grid = position_rows(state["pos_embed"], own, tokens, f"{KEY}={source}")
    state["pos_embed"] = resize_position(position, grid, own)
    kernel = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = resize_patch_embedding(kernel, patch)
    load_weights(backbone, state, source=f"{KEY}={source}")
    report = (
        f"loaded {len(state)} weights from {source} ({layout} layout); positions "
        f"{grid[0]}x{grid[1]} -> {own[0]}x{own[1]}; "
        f"left out: {', '.join(name for name in left_out if name not in behind) or 'nothing'}"
    )
    if kernel.shape[-1] != patch:
        report += f"; patches {kernel.shape[-1]} -> {patch}"
    if behind:
        report += f"; blocks after the first {depth} left out"
    log.info(report)
    return report


def read_vit_weights(path: Path) -> tuple[State, str]:
    """A file's weights by timm names, and the name of the layout that they were in.

    Raises:
        CheckpointError: unreadable, or of no known layout.
    """
    state = read_tensors(path)
    for layout, landmark, convert in _LAYOUTS:
        prefixes = [name.removesuffix(landmark) for name in state if name.endswith(landmark)]
        if prefixes:
            prefix = min(prefixes, key=len)  # "module.", "backbone.", "opt/target/" and the like
            inner = {n.removeprefix(prefix): w for n, w in state.items() if n.startswith(prefix)}
            return convert(inner), layout
    raise CheckpointError(
        f"{path} holds no vision transformer in the layout of timm, mmsegmentation or AugReg; "
        f"it begins with {', '.join(sorted(state)[:3]) or 'nothing'}"
    )


_MMSEG = (
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
    (r"^layers\.(\d+)\.attn\.attn\.in_proj_", r"blocks.\1.attn.qkv."),
    (r"^layers\.(\d+)\.attn\.attn\.out_proj\.", r"blocks.\1.attn.proj."),
    (r"^layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
    (r"^layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
    (r"^ln1\.", "norm."),
)


def from_mmseg(state: State) -> State:
    """mmsegmentation names the same weights differently."""
    return {renamed(name, _MMSEG): weight for name, weight in state.items()}


def from_jax(state: State) -> State:
    """JAX keeps kernels as (in, out), heads apart and, in big_vision, all blocks in one array."""
    position = "pos_embedding"
    if position not in state:
        position = "Transformer/posembed_input/pos_embedding"
    weights = {
        "pos_embed": state[position].float(),
        "patch_embed.proj.weight": state["embedding/kernel"].permute(3, 2, 0, 1),
        "patch_embed.proj.bias": state["embedding/bias"],
    }
    if "cls" in state:
        weights["cls_token"] = state["cls"]
    blocks = _jax_blocks(state)
    if not blocks:
        raise CheckpointError("the .npz file holds an embedding, but no Transformer/encoderblock")
    for index, block in blocks.items():
        for name, weight in _jax_block(block).items():
            weights[f"blocks.{index}.{name}"] = weight
    return {name: weight.contiguous() for name, weight in weights.items()}


def _jax_blocks(state: State) -> dict[int, State]:
    """The arrays of each block, by its number."""
    blocks: dict[int, State] = {}
    for name, weight in state.items():
        match = re.match(r"Transformer/encoderblock(?:_(\d+))?/(.*)", name)
        if match is None:
            continue
        rows = enumerate(weight) if match[1] is None else [(int(match[1]), weight)]
        for index, row in rows:
            blocks.setdefault(index, {})[match[2]] = row
    return blocks


def _jax_block(block: State) -> State:
    """One block by timm names; its parts are numbered differently in AugReg and big_vision."""
    parts = {name.partition("/")[0] for name in block}
    attention = next(part for part in parts if part.startswith("MultiHeadDotProductAttention"))
    mlp = next(part for part in parts if part.startswith("MlpBlock"))
    norms = sorted(part for part in parts if part.startswith("LayerNorm"))
    packed = [block[f"{attention}/{which}/kernel"].flatten(1).T for which in _QKV]
    biases = [block[f"{attention}/{which}/bias"].flatten() for which in _QKV]
    weights = {
        "attn.qkv.weight": torch.cat(packed),
        "attn.qkv.bias": torch.cat(biases),
        "attn.proj.weight": block[f"{attention}/out/kernel"].flatten(0, 1).T,
        "attn.proj.bias": block[f"{attention}/out/bias"],
    }
    for ours, theirs in zip(("norm1", "norm2"), norms, strict=True):
        weights[f"{ours}.weight"] = block[f"{theirs}/scale"]
        weights[f"{ours}.bias"] = block[f"{theirs}/bias"]
    for ours, theirs in zip(("fc1", "fc2"), ("Dense_0", "Dense_1"), strict=True):
        weights[f"mlp.{ours}.weight"] = block[f"{mlp}/{theirs}/kernel"].T
        weights[f"mlp.{ours}.bias"] = block[f"{mlp}/{theirs}/bias"]
    return weights


_QKV = ("query", "key", "value")

_LAYOUTS: tuple[tuple[str, str, Callable[[State], State]], ...] = (
    ("timm", "patch_embed.proj.weight", dict),
    ("mmsegmentation", "patch_embed.projection.weight", from_mmseg),
    ("JAX", "embedding/kernel", from_jax),
)
