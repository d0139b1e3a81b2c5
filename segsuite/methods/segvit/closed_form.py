"""Operations in closed form, to check the counter and the published figures against.

Every formula is for one image and gives a `Cost`: its `fvcore` total is what papers print.
Source: exact arithmetic on the papers' modules, which reproduces the published figures of SegViT v1
(120.9, 637.9, 321.6, 383.9) and DToP (109.9, 617.0, 315.4, 366.9), see
tests/reference/published_costs.py.
"""

from dataclasses import dataclass

from torch import nn

from segsuite.measure.closed_form import closed_form_of
from segsuite.measure.cost import Cost, total
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from segsuite.methods.segvit.exits import AtmExit, LinearExit
from segsuite.methods.segvit.network import SegVit
from segsuite.methods.segvit.refinement import PatchRefinement
from segsuite.methods.segvit.token_sharing import CosineSharing
from segsuite.nn.token_trace import TokenTrace


@dataclass(frozen=True, kw_only=True)
class VisionTransformerForm:
    """A plain ViT: `dim` channels, `depth` blocks, patches of `patch` pixels a side."""

    dim: int
    depth: int
    patch: int = 16
    mlp_ratio: float = 4.0

    def embedding(self, patches: int) -> Cost:
        """The patch embedding of so many patches."""
        return Cost(macs=3 * self.patch**2 * self.dim * patches)

    def block(self, tokens: int, context: int = 0) -> Cost:
        """One block on `tokens` alive tokens; `context` more are keys and values only."""
        dim, keys = self.dim, tokens + context
        projections = (2 + 2 * self.mlp_ratio) * dim**2 * tokens + 2 * dim**2 * keys
        attention = 2 * tokens * keys * dim
        return Cost(macs=int(projections) + attention, norm=5 * dim * (tokens + keys))

    def backbone(self, tokens: int) -> Cost:
        """The embedding of so many tokens, and all blocks on them."""
        return self.embedding(tokens) + self.depth * self.block(tokens)


@dataclass(frozen=True, kw_only=True)
class AttentionToMaskForm:
    """One stage of an attention-to-mask head.

    `answers` is the width of the class layer: 2 (present or not), or classes + 1 in SegViT v1.
    `masks_apart`: whether masks are a product of their own, beside a fused attention, instead of
    the attention's logits as in the papers.
    """

    in_dim: int
    dim: int
    classes: int
    layers: int = 3
    answers: int = 2
    masks_apart: bool = False

    def layer(self, tokens: int) -> Cost:
        """Self-attention of the queries, attention to the tokens, and a perceptron 4 times wide."""
        k, d, n = self.classes, self.dim, tokens
        self_attention = 4 * k * d**2 + 2 * k**2 * d
        cross_attention = 2 * k * d**2 + 2 * n * d**2 + 2 * k * n * d
        perceptron = 8 * k * d**2
        return Cost(macs=self_attention + cross_attention + perceptron, norm=3 * 5 * k * d)

    def stage(self, tokens: int) -> Cost:
        """The projection of the tokens and the decoder layers."""
        projection = Cost(macs=tokens * self.in_dim * self.dim, norm=5 * tokens * self.dim)
        masks = Cost(macs=self.classes * tokens * self.dim * self.masks_apart)
        return projection + self.layers * self.layer(tokens) + masks

    def single(self, tokens: int) -> Cost:
        """DToP's head on so many tokens: one stage, and the class scores of the queries."""
        return self.stage(tokens) + Cost(macs=self.answers * self.classes * self.dim)

    def cascade(self, tokens: int, stages: int = 3) -> Cost:
        """SegViT v1's head: every stage sees every token and asks the class layer."""
        return stages * self.single(tokens)


@closed_form_of.register
def _(network: SegVit, trace: TokenTrace) -> Cost | None:
    if not isinstance(network.head, AtmSingle | AtmCascade):
        return None  # a head of somebody else's
    if not isinstance(network.refinement, PatchRefinement | None):
        return None
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
    head = _head(network, slots if carries else computed[-1])
    refined = _refinement(network.refinement, slots, trace)
    return vit.embedding(embedded) + blocks + exits + head + refined


def _vit_form(network: SegVit) -> VisionTransformerForm:
    vit = network.backbone
    ratio = vit.blocks[0].mlp.fc1.out_features / vit.dim
    return VisionTransformerForm(dim=vit.dim, depth=vit.depth, patch=vit.patch, mlp_ratio=ratio)


def _exit(scorer: nn.Module, seen: int) -> Cost:
    if isinstance(scorer, LinearExit):  # a norm and a linear layer to the classes
        dim, classes = scorer.classify.in_features, scorer.classify.out_features
        return Cost(macs=seen * dim * classes, norm=5 * seen * dim)
    assert isinstance(scorer, AtmExit), type(scorer)
    return _atm_form(scorer.head, scorer.head.stage).single(seen)


def _refinement(refinement: PatchRefinement | None, slots: int, trace: TokenTrace) -> Cost:
    if refinement is None:
        return Cost()
    patches, made = trace.grid[0] * trace.grid[1], Cost()
    for halvings, of_pixels in enumerate(reversed(refinement.of_pixels)):
        cells, kernel = patches * 4**halvings, of_pixels.conv.weight
        # Batch norm at rest counts twice for each element.
        made += Cost(macs=cells * kernel.numel(), norm=2 * cells * len(kernel))
    dim, width = refinement.of_tokens.weight.shape
    each = dim * (9 + refinement.classify.out_features)  # 3 x 3 around, and classes
    return made + Cost(macs=patches * each + slots * width * dim, norm=5 * slots * width)


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
