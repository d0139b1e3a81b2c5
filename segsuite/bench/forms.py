"""The closed form of a network as built: what its parts and its tokens say it must cost."""

from functools import singledispatch

from torch import nn

from segsuite.bench.closed_form import (
    AttentionToMaskForm,
    LinearScorerForm,
    VisionTransformerForm,
)
from segsuite.bench.cost import Cost, total
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from segsuite.methods.segvit.exits import AtmExit, LinearExit
from segsuite.methods.segvit.network import SegVit
from segsuite.methods.segvit.token_sharing import CosineSharing
from segsuite.nn.token_trace import TokenTrace


@singledispatch
def closed_form_of(network: nn.Module, trace: TokenTrace | None) -> Cost | None:
    """Operations of one `predict` to native stride by formula, excluded modules left out.

    Tokens are counted as computed (masked rows too), since that is what the machine does. None for
    networks whose formula is not known here; a family adds its own by `closed_form_of.register`.
    """
    return None


@closed_form_of.register
def _(network: SegVit, trace: TokenTrace) -> Cost:
    vit = _vit_form(network)
    computed = [stage.slots.shape[1] for stage in trace.stages]
    slots, patches = computed[0], trace.grid[0] * trace.grid[1]
    keeps_context = network.pruning is not None and network.pruning.context == "kv"
    ends = [*(stage.after for stage in trace.stages[1:]), vit.depth]
    blocks = total(
        (end - stage.after) * vit.block(alive, slots - alive if keeps_context else 0)
        for stage, end, alive in zip(trace.stages, ends, computed, strict=True)
    )
    compares = isinstance(network.sharing, CosineSharing) and slots < patches
    embedded = slots + (patches if compares else 0)
    scorers = () if network.pruning is None else network.pruning.scorers
    exits = total(_exit(scorer, seen) for scorer, seen in zip(scorers, computed, strict=False))
    carries = network.pruning is None or network.pruning.carries
    return (
        vit.embedding(embedded)
        + blocks
        + exits
        + _head(network, slots if carries else computed[-1])
    )


def _vit_form(network: SegVit) -> VisionTransformerForm:
    vit = network.backbone
    ratio = vit.blocks[0].mlp.fc1.out_features / vit.dim
    return VisionTransformerForm(dim=vit.dim, depth=vit.depth, patch=vit.patch, mlp_ratio=ratio)


def _exit(scorer: nn.Module, seen: int) -> Cost:
    if isinstance(scorer, LinearExit):
        form = LinearScorerForm(
            dim=scorer.classify.in_features, classes=scorer.classify.out_features
        )
        return form.single(seen)
    assert isinstance(scorer, AtmExit), type(scorer)
    return _atm_form(scorer.head, scorer.head.stage).single(seen)


def _head(network: SegVit, tokens: int) -> Cost:
    head = network.head
    if isinstance(head, AtmCascade):
        return _atm_form(head, head.stages[0]).cascade(tokens, len(head.stages))
    return _atm_form(head, head.stage).single(tokens)


def _atm_form(head: AtmSingle | AtmCascade, stage: nn.Module) -> AttentionToMaskForm:
    classes, dim = head.queries.shape
    return AttentionToMaskForm(
        in_dim=stage.project.in_features,
        dim=dim,
        classes=classes,
        layers=len(stage.layers),
        answers=head.classify.out_features,
        masks_apart=True,
    )
