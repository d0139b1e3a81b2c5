"""`init_from`: what a SegViT network takes of another, and what it does not."""

from functools import partial

import pytest
import torch

from segsuite.core.errors import CheckpointError
from segsuite.core.transfer import begin_with, same_family
from segsuite.engine import training
from segsuite.methods.segvit.attention_to_mask import AtmSingle
from segsuite.methods.segvit.exits import AtmExit
from segsuite.methods.segvit.network import SegVit
from segsuite.methods.segvit.policy import PolicyNetwork
from segsuite.methods.segvit.token_pruning import TokenPruning
from segsuite.methods.segvit.token_sharing import ContentAwareSharing
from segsuite.nn.backbones.positions import resize_position
from segsuite.nn.backbones.vit import VisionTransformer

TARGET = "segsuite.methods.segvit.network.SegVit"
LITE = {"encoder": "mobilenetv3_small_050", "stage": 3, "scale": 0.5}


def network(*, size=(64, 96), dim=24, depth=4, classes=5, policy=None, exits=False) -> SegVit:
    sharing = pruning = None
    if policy is not None:
        policy_network = PolicyNetwork(**(LITE | {"weights": "none"}))
        sharing = ContentAwareSharing(
            windows=2, image_size=size, network=policy_network, policy=policy
        )
    if exits:
        scorer = partial(AtmExit, dim=16, heads=2)
        sizes = {"in_dim": dim, "depth": depth, "num_classes": classes, "image_size": size}
        pruning = TokenPruning(after=[2], scorer=scorer, **sizes)
    return SegVit(
        backbone=VisionTransformer(dim=dim, depth=depth, heads=2, image_size=size),
        head=AtmSingle(in_dim=dim, num_classes=classes, dim=16, heads=2),
        num_classes=classes,
        sharing=sharing,
        pruning=pruning,
    )


def checkpoint(net: SegVit, *, size=(64, 96), target=TARGET) -> dict:
    backbone = {"image_size": list(size), "patch": 16}
    return {
        "config": {"method": {"network": {"_target_": target, "backbone": backbone}}},
        "state_dict": {f"network.{name}": weight for name, weight in net.state_dict().items()},
    }


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Which parts loaded weights of their own."""
    calls: list[str] = []
    for part in (VisionTransformer, ContentAwareSharing):
        note = lambda self, name=part.__name__: calls.append(name)  # noqa: E731
        monkeypatch.setattr(part, "load_initial_weights", note)
    return calls


def test_a_dense_network_hands_on_to_the_hybrid(asked):
    dense, hybrid = network(), network(policy="joint", exits=True)
    before = {name: weight.clone() for name, weight in hybrid.state_dict().items()}
    report = begin_with(hybrid, checkpoint(dense), source="dense.ckpt")
    for name, weight in dense.state_dict().items():
        assert torch.equal(hybrid.state_dict()[name], weight), name
    new = {n for n in before if n.startswith(("pruning.", "sharing."))}
    assert all(torch.equal(hybrid.state_dict()[n], before[n]) for n in new)
    assert asked == ["ContentAwareSharing"], "the new part begins as it does without init_from"
    assert (report.owns, report.fresh) == (("sharing",), ("pruning.*",))
    assert (report.resized, report.left_over) == ((), ())


def test_the_hybrid_hands_back_to_the_dense_network(asked):
    report = begin_with(
        network(), checkpoint(network(policy="joint", exits=True)), source="hybrid.ckpt"
    )
    assert report.left_over == ("pruning.*", "sharing.*") and report.fresh == () and asked == []
    assert "left over in the file: pruning.*, sharing.*" in str(report)


def test_queries_of_other_classes_stay_as_they_were_drawn():
    ours = network(classes=7)
    queries = ours.head.queries.detach().clone()
    report = begin_with(ours, checkpoint(network(classes=5)), source="a.ckpt")
    assert report.fresh == report.left_over == ("head.queries",)
    assert torch.equal(ours.head.queries, queries)


@pytest.mark.parametrize("size", [(96, 128), (96, 64)])  # the second has as many patches
def test_positions_of_another_crop_size_are_resized(size):
    theirs, ours = network(size=(64, 96)), network(size=size)
    report = begin_with(ours, checkpoint(theirs), source="a.ckpt")
    grid = (size[0] // 16, size[1] // 16)
    expected = resize_position(theirs.backbone.pos_embed, (4, 6), grid)
    assert torch.equal(ours.backbone.pos_embed, expected)
    assert len(report.resized) == 1 and report.resized[0].startswith("backbone.pos_embed 1x24x24")


def test_a_policy_of_another_kind_is_taken_whole_or_not_at_all(asked):
    theirs, ours = network(policy="joint"), network(policy="joint")
    # Most of its weights fit, as those of the same encoder in another width would.
    ours.sharing.policy.head = torch.nn.Conv2d(ours.sharing.policy.head.in_channels, 3, 1)
    before = {n: w.clone() for n, w in ours.sharing.state_dict().items()}
    report = begin_with(ours, checkpoint(theirs), source="a.ckpt")
    assert report.owns == ("sharing",) and report.left_over == ("sharing.*",)
    assert asked == ["ContentAwareSharing"]
    assert all(torch.equal(w, before[n]) for n, w in ours.sharing.state_dict().items())


@pytest.mark.parametrize(("policy", "owns"), [("joint", ()), ("policy.ckpt", ("sharing",))])
def test_a_policy_that_was_named_is_not_replaced(asked, policy, owns):
    ours = network(policy=policy)
    report = begin_with(ours, checkpoint(network(policy="joint")), source="a.ckpt")
    assert report.owns == owns and asked == ["ContentAwareSharing"] * len(owns)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"dim": 32}, r"backbone.blocks.0.attn.proj.bias is 24 here and 32 there"),
        ({"depth": 3}, r"backbone.blocks.3.attn.proj.bias is 24 here and absent there"),
    ],
)
def test_less_than_the_backbone_is_an_error_before_anything_is_loaded(asked, theirs, said):
    ours = network(policy="joint")
    before = {name: weight.clone() for name, weight in ours.state_dict().items()}
    with pytest.raises(CheckpointError, match=said):
        begin_with(ours, checkpoint(network(**theirs)), source="a.ckpt")
    assert all(torch.equal(w, before[n]) for n, w in ours.state_dict().items()) and asked == []


def test_another_family_is_refused_and_another_network_of_the_family_is_not():
    config = {"method": {"network": {"_target_": TARGET}}}
    same_family(checkpoint(network(), target=f"{TARGET}Plus"), config, "a.ckpt")
    other = checkpoint(network(), target="segsuite.methods.essnet.network.EssNet")
    with pytest.raises(CheckpointError, match=r"essnet.*give a checkpoint of segsuite.methods.seg"):
        same_family(other, config, "a.ckpt")


def test_a_policy_of_a_twin_is_refused_unless_ours_keeps_its_own_weights():
    """As `method.sharing.policy=FILE` does, whatever policy the file of `init_from` has."""
    ours = {"sharing": {"network": {"encoder": "tf_efficientnet_lite0"}}}
    file = checkpoint(network(policy="joint"))
    twin = {"sharing": {"network": {"encoder": "efficientnet_lite0"}}}
    file["config"]["method"]["network"] |= twin
    training._check_twins(network(policy="some.ckpt"), ours, file, "a.ckpt")
    with pytest.raises(CheckpointError, match=r"type method.sharing.network.encoder=efficientnet"):
        training._check_twins(network(policy="joint"), ours, file, "a.ckpt")
    file["config"]["method"]["network"] = {"_target_": TARGET, "encoder": "efficientnet_lite0"}
    with pytest.raises(CheckpointError, match=r"type method.network.encoder=efficientnet_lite0"):
        training._check_twins(
            PolicyNetwork(weights="none"), {"encoder": "tf_efficientnet_lite0"}, file, "a.ckpt"
        )


def test_a_frozen_policy_does_not_learn_statistics_although_nobody_calls_train():
    net = network(policy="some.ckpt")
    assert not any(part.training for part in net.sharing.policy.modules())
    assert all(part.training for part in network(policy="joint").sharing.policy.modules())
