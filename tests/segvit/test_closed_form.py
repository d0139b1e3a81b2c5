"""The formulas reproduce what the papers print, and what the counter counts on our networks."""

from functools import partial

import pytest
import torch
from torch import nn

from segsuite.bench.paper import published
from segsuite.measure.closed_form import closed_form_of
from segsuite.measure.operations import Count, OperationCounter, count, count_parameters
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from segsuite.methods.segvit.closed_form import AttentionToMaskForm, VisionTransformerForm
from segsuite.methods.segvit.exits import AtmExit, LinearExit
from segsuite.methods.segvit.network import SegVit
from segsuite.methods.segvit.pixel_sharing import DeviationSharing
from segsuite.methods.segvit.policy import PolicyNetwork
from segsuite.methods.segvit.predictions import CascadePrediction
from segsuite.methods.segvit.refinement import PatchRefinement
from segsuite.methods.segvit.token_pruning import TokenPruning
from segsuite.methods.segvit.token_sharing import ContentAwareSharing, CosineSharing
from segsuite.nn.backbones.vit import VisionTransformer
from tests.bench.toy import ToyTokens, half_bright
from tests.reference.published_costs import (
    dtop,
    query_mixing,
    segvit_v1,
    staged_blocks,
    upsampling,
)

TINY = {"dim": 192, "depth": 12}
BASE = {"dim": 768, "depth": 12}
LARGE = {"dim": 1024, "depth": 24}
HEADS = {192: 3, 768: 12, 1024: 16}
HEAD_DIM = {192: 192, 768: 384, 1024: 512}

# backbone, classes, side; fvcore's count in 1e9 for DToP's dense network and for SegViT v1
PUBLISHED = {
    "B ADE20K": (BASE, 150, 512, 109.861, 120.883),
    "L ADE20K": (LARGE, 150, 640, 616.98, 637.87),
    "L Pascal-Context": (LARGE, 59, 480, 315.36, 321.59),
    "L COCO-Stuff": (LARGE, 171, 512, 366.86, 383.90),
}


def forms(vit: dict, classes: int, *, answers: int = 2):
    head = AttentionToMaskForm(
        in_dim=vit["dim"], dim=HEAD_DIM[vit["dim"]], classes=classes, answers=answers
    )
    return VisionTransformerForm(**vit), head


def network(
    vit: dict, classes: int, side: int, *, head=AtmSingle, sharing=None, refined=False, **pruning
) -> SegVit:
    """On the meta device: nothing is computed, however large it is."""
    size = (side, side)
    with torch.device("meta"):
        built = SegVit(
            backbone=VisionTransformer(**vit, heads=HEADS[vit["dim"]], image_size=size),
            head=head(in_dim=vit["dim"], num_classes=classes),
            num_classes=classes,
            sharing=sharing and sharing(image_size=size),
            refinement=PatchRefinement(in_dim=vit["dim"], num_classes=classes) if refined else None,
            pruning=TokenPruning(
                in_dim=vit["dim"],
                num_classes=classes,
                depth=vit["depth"],
                image_size=size,
                mode="static",
                **pruning,
            )
            if pruning
            else None,
        )
    return built.eval().requires_grad_(False)


def counted(built: SegVit, side: int, batch: int = 1) -> Count:
    return count(built, torch.empty(batch, 3, side, side, device="meta"))


def cts(image_size: tuple[int, int]) -> ContentAwareSharing:
    policy = PolicyNetwork(weights="none")
    return ContentAwareSharing(windows=103, image_size=image_size, network=policy)


@pytest.mark.parametrize("name", PUBLISHED)
def test_formulas_give_the_published_figures(name: str) -> None:
    vit, classes, side, single, cascade = PUBLISHED[name]
    size = (side, side)
    assert dtop(*forms(vit, classes), size, kept={}).gfvcore == pytest.approx(single, abs=0.006)
    found = segvit_v1(*forms(vit, classes, answers=classes + 1), size).gfvcore
    assert found == pytest.approx(cascade, abs=0.006)


def test_formula_of_pruning_gives_the_published_check() -> None:
    found = dtop(*forms(BASE, 150), (512, 512), kept={6: 781, 8: 693})
    assert found.gfvcore == pytest.approx(96.415, abs=1e-3)


# spec table 5.3: heads, upsamplings -> B @1024, B @715, T @1024, T @715
TABLE = {
    (0, 0): (106.999, 70.639, 10.442, 6.273),
    (1, 2): (109.86, 73.03, 11.46, 7.16),
    (2, 2): (112.41, 75.10, 12.16, 7.72),
    (2, 1): (112.25, 74.95, 12.00, 7.57),
    (3, 2): (114.96, 77.18, 12.86, 8.29),
}


@pytest.mark.parametrize(("heads", "resizes"), TABLE)
def test_formulas_give_the_table_of_head_counts(heads: int, resizes: int) -> None:
    found = []
    for vit in (BASE, TINY):
        backbone, head = forms(vit, 150)
        for tokens in (1024, 715):
            cost = backbone.backbone(tokens) + heads * head.single(tokens)
            found.append((cost + resizes * upsampling(150, (512, 512))).gfvcore)
    assert found == pytest.approx(TABLE[heads, resizes], abs=0.006)


def test_the_papers_own_figures_are_two_heads_within_one_percent() -> None:
    for tokens, names in ((1024, ("segvit_vitb", "segvit_vitt")), (715, ("cts_vitb", "cts_vitt"))):
        for vit, name in zip((BASE, TINY), names, strict=True):
            backbone, head = forms(vit, 150)
            cost = backbone.backbone(tokens) + 2 * head.single(tokens)
            cost += upsampling(150, (512, 512))
            assert cost.gfvcore == pytest.approx(published()[name].gflops, rel=0.01)


def test_stretches_must_add_up_to_the_depth() -> None:
    with pytest.raises(ValueError, match="12 blocks"):
        staged_blocks(VisionTransformerForm(**BASE), [(6, 1024), (5, 512)])


@pytest.mark.parametrize("name", PUBLISHED)
def test_counter_agrees_with_the_published_figures_for_both_heads(name: str) -> None:
    vit, classes, side, single, cascade = PUBLISHED[name]
    resizes = 2 * upsampling(classes, (side, side)).gfvcore
    found = counted(network(vit, classes, side), side).everything.gfvcore + resizes
    assert found == pytest.approx(single, rel=0.005)
    found = counted(network(vit, classes, side, head=AtmCascade), side).everything.gfvcore + resizes
    found += query_mixing(classes, (side, side)).gfvcore
    assert found == pytest.approx(cascade, rel=0.005)


def test_the_cascade_mixes_queries_at_full_size_as_the_formula_says() -> None:
    prediction = CascadePrediction(torch.rand(1, 40, 40), torch.rand(1, 40, 8, 8))
    with OperationCounter(nn.Identity()) as counter:
        prediction.scores((128, 128))
    mixing = query_mixing(40, (128, 128)).macs
    # beside it, a resize that may be done by matrices
    assert mixing <= counter.of("").macs < 1.25 * mixing


NETWORKS = {
    "dense": {},
    "cascade": {"head": AtmCascade},
    "shared": {"sharing": cts},
    "cosine": {"sharing": partial(CosineSharing, windows=103)},
    "atm exits": {"scorer": AtmExit, "after": [6, 8], "budgets": [512, 384]},
    "hybrid": {"sharing": cts, "scorer": LinearExit, "after": [6, 8], "budgets": [512, 384]},
    "two sizes": {"sharing": partial(DeviationSharing, windows=112, large_windows=16)},
    "two sizes, refined": {
        "sharing": partial(DeviationSharing, windows=112, large_windows=16),
        "refined": True,
    },
    "hybrid, kv": {
        "sharing": cts,
        "scorer": LinearExit,
        "after": [6],
        "budgets": [384],
        "context": "kv",
    },
    "hybrid, cascade": {
        "sharing": cts,
        "head": AtmCascade,
        "scorer": LinearExit,
        "after": [4],
        "budgets": [256],
    },
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("vit", [TINY, BASE], ids=["T", "B"])
def test_counter_equals_the_closed_form_of_the_network_as_built(vit: dict, name: str) -> None:
    built = network(vit, 150, 512, **NETWORKS[name])
    found = counted(built, 512, batch=2)
    assert found.as_published == closed_form_of(built, found.prediction.trace)


def test_the_static_hybrid_needs_at_most_60_gmacs_with_the_papers_policy() -> None:
    found = counted(network(BASE, 150, 512, **NETWORKS["hybrid"]), 512)
    assert found.everything.gmacs < 60
    assert found.excluded.gfvcore == pytest.approx(1.971, abs=1e-3)


def test_parameters_are_the_published_ones() -> None:
    policy = network(TINY, 150, 512, sharing=cts).sharing.policy
    assert count_parameters(policy) == 2_959_490
    # published with the class token and its position, which do nothing and which we do not have
    found = count_parameters(network(BASE, 150, 512, head=AtmCascade))
    assert found / 1e6 == pytest.approx(108.74, abs=0.01)


def test_networks_without_a_known_formula_have_none() -> None:
    built = ToyTokens()
    assert closed_form_of(built, built.predict(half_bright()).trace) is None
