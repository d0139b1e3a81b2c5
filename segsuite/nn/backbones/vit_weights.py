"""Pretrained weights of vision transformers, from every layout in use to ours.

Layouts are told apart by their keys: timm (and DeiT, and checkpoints of ours), mmsegmentation 0.x
and 1.x, and JAX `.npz` files of AugReg and of big_vision.
"""

import logging
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segsuite.core.checkpoint import load_weights
from segsuite.core.contract import Size
from segsuite.core.errors import CheckpointError
from segsuite.nn.backbones.hub import pretrained_file
from segsuite.nn.backbones.vit import VisionTransformer, resize_position

State = dict[str, Tensor]

KEY = "method.backbone.weights"

_LEFT_OUT = re.compile(r"(cls_token|dist_token|(head|head_dist|norm|fc_norm|pre_logits)\..*)$")
"""Parts of a classifier that a backbone without class token and final norm does not have."""

_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".npz")

log = logging.getLogger(__name__)


def load_vit_weights(backbone: VisionTransformer, source: str) -> str:
    """Loads every weight of `backbone` from a file or by timm name; a line that says what was done.

    Positions are resized to the backbone's grid: bicubic, no antialiasing.

    Raises:
        CheckpointError: unreadable, of no known layout, or of another network.
        ConfigError: neither a file nor a name that timm knows.
    """
    state, layout = read_vit_weights(find(source))
    left_out = sorted(name for name in state if _LEFT_OUT.match(name))
    tokens = sum(name in state for name in ("cls_token", "dist_token"))
    state = {name: weight for name, weight in state.items() if name not in left_out}
    position, grid = position_rows(state["pos_embed"], backbone.grid, tokens, source)
    state["pos_embed"] = resize_position(position, grid, backbone.grid)
    load_weights(backbone, state, source=f"{KEY}={source}")
    report = (
        f"loaded {len(state)} weights from {source} ({layout} layout); positions "
        f"{grid[0]}x{grid[1]} -> {backbone.grid[0]}x{backbone.grid[1]}; "
        f"left out: {', '.join(left_out) or 'nothing'}"
    )
    log.info(report)
    return report


def find(source: str) -> Path:
    """The file that `source` names, or that holds the timm weights which it names.

    Raises:
        CheckpointError: a path to no file, or weights that cannot be fetched.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise CheckpointError(
            f"{KEY}={source} is no file; give an existing one, a timm name, or {KEY}=none"
        )
    return pretrained_file(source, key=KEY)


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


def read_tensors(path: Path) -> State:
    """All tensors of a `.npz`, `.safetensors` or torch file, flat, outer dictionaries removed.

    Raises:
        CheckpointError: the file cannot be read, or holds more than tensors and plain types.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); it is cut short, "
            "or holds more than tensors and plain types: save its state dict alone, by torch.save"
        ) from error
    for wrapping in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def position_rows(position: Tensor, own: Size, tokens: int, source: str) -> tuple[Tensor, Size]:
    """The rows of a position embedding that belong to patches (1, gh * gw, C), and their grid.

    Args:
        position: (1, tokens + gh * gw, C), or without the leading tokens.
        own: the grid assumed if its number of patches fits; any other must be square.

    Raises:
        CheckpointError: no grid has that many patches.
    """
    count = position.shape[1]
    for extra in dict.fromkeys((tokens, 0)):
        patches = count - extra
        side = math.isqrt(patches)
        if patches == own[0] * own[1]:
            return position[:, extra:], own
        if side * side == patches:
            return position[:, extra:], (side, side)
    raise CheckpointError(
        f"{KEY}={source} has {count} positions, which are neither a square grid nor the "
        f"{own[0]}x{own[1]} one of this backbone, with or without {tokens} further tokens"
    )


def from_timm(state: State) -> State:
    """As it is."""
    return state


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
    renamed = {}
    for name, weight in state.items():
        for pattern, replacement in _MMSEG:
            name = re.sub(pattern, replacement, name)
        renamed[name] = weight
    return renamed


def from_jax(state: State) -> State:
    """JAX keeps kernels as (in, out), heads apart and, in big_vision, all blocks in one array."""
    position = "pos_embedding"
    if position not in state:
        position = "Transformer/posembed_input/pos_embedding"
    found = {
        "pos_embed": state[position].float(),
        "patch_embed.proj.weight": state["embedding/kernel"].permute(3, 2, 0, 1),
        "patch_embed.proj.bias": state["embedding/bias"],
    }
    if "cls" in state:
        found["cls_token"] = state["cls"]
    blocks = _jax_blocks(state)
    if not blocks:
        raise CheckpointError("the .npz file holds an embedding, but no Transformer/encoderblock")
    for index, block in blocks.items():
        for name, weight in _jax_block(block).items():
            found[f"blocks.{index}.{name}"] = weight
    return {name: weight.contiguous() for name, weight in found.items()}


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
    found = {
        "attn.qkv.weight": torch.cat(packed),
        "attn.qkv.bias": torch.cat(biases),
        "attn.proj.weight": block[f"{attention}/out/kernel"].flatten(0, 1).T,
        "attn.proj.bias": block[f"{attention}/out/bias"],
    }
    for ours, theirs in zip(("norm1", "norm2"), norms, strict=True):
        found[f"{ours}.weight"] = block[f"{theirs}/scale"]
        found[f"{ours}.bias"] = block[f"{theirs}/bias"]
    for ours, theirs in zip(("fc1", "fc2"), ("Dense_0", "Dense_1"), strict=True):
        found[f"mlp.{ours}.weight"] = block[f"{mlp}/{theirs}/kernel"].T
        found[f"mlp.{ours}.bias"] = block[f"{mlp}/{theirs}/bias"]
    return found


_QKV = ("query", "key", "value")

_LAYOUTS: tuple[tuple[str, str, Callable[[State], State]], ...] = (
    ("timm", "patch_embed.proj.weight", from_timm),
    ("mmsegmentation", "patch_embed.projection.weight", from_mmseg),
    ("JAX", "embedding/kernel", from_jax),
)
