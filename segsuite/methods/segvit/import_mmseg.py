"""Checkpoints of the original SegViT v1 and DToP repositories, both built on mmsegmentation."""

import logging
import re
from pathlib import Path

import torch
from torch import nn

from segsuite.core.checkpoint import load_weights
from segsuite.core.errors import CheckpointError
from segsuite.nn.backbones.vit_weights import load_vit_weights
from segsuite.nn.backbones.weight_files import State, read_tensors, renamed

log = logging.getLogger(__name__)

_SKIPPED = ("loss_decode.", "conv_seg.")
"""A buffer of the original's criterion, and a layer that mmsegmentation adds to every head."""

_RENAMED = (
    (r"^q\.weight$", "queries"),
    (r"^class_embed\.", "classify."),
    (r"^input_proj\.", "stage.project."),
    (r"^proj_norm\.", "stage.norm."),
    (r"^decoder\.layers\.", "stage.layers."),
    (r"\.self_attn\.in_proj_", ".self_attention.qkv."),
    (r"\.self_attn\.out_proj\.", ".self_attention.proj."),
    (r"\.multihead_attn\.", ".cross_attention."),
    (r"\.linear([12])\.", r".fc\1."),
)

_STAGED = re.compile(r"^(input_proj|proj_norm|decoder)_(\d+)\.")
"""The cascade numbers its stages from 1, the deepest feature."""


def load_segvit(network: nn.Module, path: str | Path) -> str:
    """Loads backbone, final head and exit heads of `network`; a line that says what was done.

    `network` has `backbone`, `head` and, with DToP's exits, `pruning.scorers` with a `head` each.
    Exit heads that the file has and the network has not are left out, and named in the report.

    Raises:
        CheckpointError: not such a file, or of another shape.
    """
    path = Path(path)
    state = read_tensors(path)
    if not any("decode_head." in name for name in state):
        raise CheckpointError(f"{path} has no decode_head; it is no SegViT checkpoint of mmseg")
    report = load_vit_weights(network.backbone, str(path))
    load_weights(network.head, head_state(state, "decode_head."), source=f"decode_head of {path}")
    exits = list(getattr(network.pruning, "scorers", ()))
    heads = [scorer.head for scorer in exits if hasattr(scorer, "head")]
    if len(heads) < len(exits):
        raise CheckpointError(
            f"exits that are not heads cannot be filled from {path}; type method/pruning/scorer=atm"
        )
    for index, head in enumerate(heads):
        prefix = f"auxiliary_head.{index}."
        load_weights(head, head_state(state, prefix), source=f"{prefix[:-1]} of {path}")
    in_file = {
        name.split(".")[1] for name in state if re.match(r"(module\.)?auxiliary_head\.", name)
    }
    report += f"; final head and {len(heads)} exit heads, of {len(in_file)} in the file"
    log.info(report)
    return report


def head_state(state: State, prefix: str) -> State:
    """The weights of one head by the names of `AtmSingle` or `AtmCascade`.

    Args:
        state: weights of a whole checkpoint.
        prefix: prefix of the head's names: "decode_head.", "auxiliary_head.0." or
            "auxiliary_head.1.".
    """
    weights = {}
    for name, weight in state.items():
        name = name.removeprefix("module.")
        if name.startswith(prefix) and not name[len(prefix) :].startswith(_SKIPPED):
            weights[_rename(name[len(prefix) :])] = weight
    for name in [n for n in weights if ".cross_attention.k." in n]:
        pair = weights.pop(name), weights.pop(name.replace(".k.", ".v."))
        weights[name.replace(".k.", ".kv.")] = torch.cat(pair)
    return weights


def _rename(name: str) -> str:
    staged = _STAGED.match(name)
    if staged is not None:
        name = f"{staged[1]}.{name[staged.end() :]}"
    name = renamed(name, _RENAMED)
    if staged is not None:
        name = name.replace("stage.", f"stages.{int(staged[2]) - 1}.", 1)
    return name
