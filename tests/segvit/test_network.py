"""The assembled network: modes agree, nothing reduced is the dense network, and it compiles."""

from functools import partial

import pytest
import torch
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.engine.callbacks.panels import token_panels
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from segsuite.methods.segvit.exits import AtmExit, LinearExit
from segsuite.methods.segvit.losses import AtmCriterion
from segsuite.methods.segvit.network import SegVit, default_taps
from segsuite.methods.segvit.objective import SegVitObjective, labels_as_seen
from segsuite.methods.segvit.pixel_sharing import DeviationSharing
from segsuite.methods.segvit.policy import PolicyNetwork
from segsuite.methods.segvit.token_pruning import TokenPruning
from segsuite.methods.segvit.token_sharing import (
    ContentAwareSharing,
    CosineSharing,
    OracleSharing,
    RandomSharing,
)
from segsuite.nn.backbones.vit import VisionTransformer

SIZE, CLASSES, DIM, DEPTH = (128, 160), 5, 24, 6  # 8 x 10 = 80 patches of 16 pixels
SCORERS = {"atm": AtmExit, "linear": LinearExit}


def exits(scorer="atm", **kwargs) -> TokenPruning:
    known = {
        "after": [2, 4],
        "in_dim": DIM,
        "num_classes": CLASSES,
        "depth": DEPTH,
        "image_size": SIZE,
    }
    return TokenPruning(scorer=partial(SCORERS[scorer]), **(known | kwargs))


def network(sharing=None, pruning=None, head=AtmSingle, depth=DEPTH, **more) -> SegVit:
    """A small SegVit whose weights depend on their names alone, not on which parts there are."""
    backbone = VisionTransformer(dim=DIM, depth=depth, heads=2, image_size=SIZE)
    net = SegVit(
        backbone=backbone,
        head=head(in_dim=DIM, num_classes=CLASSES, dim=16, heads=2),
        num_classes=CLASSES,
        sharing=sharing,
        pruning=pruning,
        **more,
    )
    for name, p in sorted(net.named_parameters()):
        generator = torch.Generator().manual_seed(len(name) * 131 + sum(map(ord, name)))
        if p.ndim > 1:
            # Wide enough that confidences spread over (0, 1): thresholds then split the tokens.
            nn.init.normal_(
                p, std=1.5 / p.shape[-1] ** 0.5 if p.ndim == 2 else 0.05, generator=generator
            )
    return net.eval()


@pytest.fixture
def images() -> torch.Tensor:
    coarse = torch.rand((2, 3, 8, 10), generator=torch.Generator().manual_seed(0)) * 255
    return nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")


def grid_scores(net: SegVit, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net.predict(images).scores((8, 10))


def threshold(net: SegVit, images: torch.Tensor) -> float:
    """A confidence that most tokens exceed at either exit."""
    with torch.no_grad():
        exits = net._encode(images).exits
    return min(float(scores.confidence.quantile(0.4)) for _, scores in exits)


@pytest.mark.parametrize("context", ["drop", "kv"])
@pytest.mark.parametrize("scorer", ["atm", "linear"])
@pytest.mark.parametrize("shared", [False, True])
def test_mask_dynamic_and_static_agree(images, scorer, context, shared):
    def make(**kwargs):
        sharing = RandomSharing(windows=7, image_size=SIZE) if shared else None
        return network(sharing, exits(scorer, keep_per_class=1, context=context, **kwargs))

    theta = threshold(make(mode="mask", theta=1.0), images)
    one = images[:1]
    masked = make(mode="mask", theta=theta)
    with torch.no_grad():
        counts = masked.predict(one).trace.counts()[0].tolist()
    assert counts[0] > counts[1] > counts[2] > 0  # both exits prune, or this test shows nothing
    expected = grid_scores(masked, one)
    dynamic = make(mode="dynamic", theta=theta)
    torch.testing.assert_close(grid_scores(dynamic, one), expected, rtol=0, atol=1e-5)
    static = make(mode="static", budgets=counts[1:])
    torch.testing.assert_close(grid_scores(static, one), expected, rtol=0, atol=1e-5)
    # A batch pads images that keep fewer tokens; each must get its own answer all the same.
    torch.testing.assert_close(
        grid_scores(dynamic, images), grid_scores(masked, images), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("head", [AtmSingle, AtmCascade])
def test_nothing_shared_and_nothing_pruned_is_the_dense_network(images, head):
    expected = grid_scores(network(head=head), images)
    scorer = "linear"
    reductions = {
        "no window": (RandomSharing(windows=0, image_size=SIZE), None),
        "theta 1": (None, exits(scorer, mode="dynamic", theta=1.0)),
        "theta 1, masked": (None, exits(scorer, mode="mask", theta=1.0)),
        "all tokens": (None, exits(scorer, mode="static", budgets=[80, 80])),
    }
    if head is AtmSingle:
        reductions["theta 1, atm"] = (None, exits("atm", theta=1.0))
        reductions["all tokens, atm"] = (None, exits("atm", mode="static", budgets=[1.0, 1.0]))
    for name, (sharing, pruning) in reductions.items():
        found = grid_scores(network(sharing, pruning, head), images)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5, msg=name)
    found = grid_scores(network(RandomSharing(windows=9, image_size=SIZE), None, head), images)
    assert (found - expected).abs().max() > 1e-3  # and sharing does change something


def test_patches_that_share_a_token_share_their_scores(images):
    with torch.no_grad():
        prediction = network(RandomSharing(windows=9, image_size=SIZE)).predict(images)
    flat = prediction.scores((8, 10)).flatten(2)
    owner = prediction.trace.owner
    assert len(owner[0].unique()) == 80 - 27
    for b in range(2):
        for slot in owner[b].unique():
            same = flat[b][:, owner[b] == slot]
            assert torch.equal(same, same[:, :1].expand_as(same))


def test_all_sharing_modes_train_and_the_policy_learns_only_from_its_own_loss(images):
    from segsuite.methods.segvit.losses import AtmCriterion
    from segsuite.methods.segvit.objective import SegVitObjective

    labels = torch.zeros(2, *SIZE, dtype=torch.long)
    labels[:, 50:, 30:] = 3
    with_labels = torch.cat([images, labels[:, None]], dim=1)
    objective = SegVitObjective(criterion=AtmCriterion(num_classes=CLASSES))
    policy = PolicyNetwork(weights="none", encoder="mobilenetv3_small_050")
    for sharing in (
        ContentAwareSharing(windows=0.3, image_size=SIZE, network=policy),
        RandomSharing(windows=0.3, image_size=SIZE),
        OracleSharing(windows=0.3, image_size=SIZE),
        CosineSharing(windows=0.3, image_size=SIZE),
    ):
        net = network(sharing, exits("linear", theta=0.3)).train()
        output = net(with_labels if isinstance(sharing, OracleSharing) else images)
        losses = objective(output, labels)
        assert set(losses) >= {"exit"} and all(v.isfinite() for v in losses.values())
        total = sum(v for k, v in losses.items() if k != "policy")
        total.backward()
        assert all(p.grad is None for p in net.sharing.parameters())
        assert all(p.grad is not None for p in net.pruning.parameters())
        assert ("policy" in losses) == isinstance(sharing, ContentAwareSharing)
        if "policy" in losses:
            objective(net(images), labels)["policy"].backward()
            assert net.sharing.policy.head.weight.grad.abs().sum() > 0


def test_a_frozen_policy_keeps_its_running_statistics(images):
    policy = PolicyNetwork(weights="none", encoder="mobilenetv3_small_050")
    frozen = ContentAwareSharing(windows=5, image_size=SIZE, network=policy, policy="a.ckpt")
    net = network(frozen).train()
    before = {k: v.clone() for k, v in policy.state_dict().items()}
    assert net(images).policy is None
    assert all(torch.equal(v, before[k]) for k, v in policy.state_dict().items())
    assert not any(p.requires_grad for p in policy.parameters())


def test_atm_exits_get_gradient_from_every_later_head(images):
    net = network(None, exits("atm", theta=threshold(network(None, exits("atm")), images)))
    output = net.train()(images)
    assert len(output.heads) == 3 and not output.exits
    output.heads[-1].masks.sum().backward()  # exited tokens keep the first head's logits
    assert net.pruning.scorers[0].head.queries.grad.abs().sum() > 0


def test_oracle_needs_labels_and_size_is_checked(images):
    with pytest.raises(ConfigError, match="method/sharing=cts to predict"):
        network(OracleSharing(windows=3, image_size=SIZE)).predict(images)
    with pytest.raises(ConfigError, match="multiples of 32"):
        network(RandomSharing(windows=3, image_size=SIZE)).predict(images[..., :-16, :])
    with pytest.raises(ConfigError, match=r"method/pruning/scorer=linear"):
        network(None, exits("atm"), AtmCascade)


def test_the_cascade_reads_the_papers_blocks():
    assert default_taps(12) == (5, 7, 11)
    assert default_taps(24) == (7, 15, 23)


def test_other_sizes_work(images):
    net = network(
        RandomSharing(windows=0.3, image_size=SIZE),
        exits("linear", mode="static", budgets=[0.5, 0.25]),
    )
    with torch.no_grad():
        prediction = net.predict(images[..., :96, :128])
    assert prediction.labels((97, 131)).shape == (2, 97, 131)
    assert prediction.trace.counts()[0].tolist() == [48 - 3 * 5, 24, 12]
    assert prediction.trace.alive(2).shape == (2, 6, 8)


def test_windows_of_two_sizes_share_and_every_patch_gets_its_slots_answer(images):
    images = nn.functional.interpolate(images, size=(128, 192), mode="bilinear")
    sharing = DeviationSharing(windows=6, large_windows=2, image_size=(128, 192))
    net = network(sharing, exits("linear", mode="static", budgets=[0.5, 0.25]))
    with torch.no_grad():
        prediction = net.predict(images)
    trace, scores = prediction.trace, prediction.scores((8, 12)).flatten(2)
    assert trace.counts()[0].tolist() == [96 - 18 - 30, 48, 24]
    for b in range(2):
        sizes = torch.bincount(trace.owner[b])
        assert sizes.tolist() == [1] * 40 + [4] * 6 + [16] * 2
        for slot in range(40, 48):
            shared = scores[b][:, trace.owner[b] == slot]
            assert (shared == shared[:, :1]).all()
    with pytest.raises(ConfigError, match="multiples of 64"):
        net.predict(images[..., :160])


def test_elastic_budgets_are_drawn_in_training_alone_and_half_of_the_time(images):
    net = network(None, exits("linear", mode="static", budgets=[40, 20], elastic=[0.5, 1.25]))
    torch.manual_seed(0)
    seen = [net.train()(images).trace.counts()[0].tolist() for _ in range(24)]
    assert 6 <= seen.count([80, 40, 20]) <= 18
    firsts = [first for _, first, _ in seen]
    assert min(firsts) >= 20 and max(firsts) <= 50 and len(set(firsts)) > 5
    assert all(abs(first - 2 * second) <= 1 for _, first, second in seen)
    for _ in range(5):
        assert net.eval().predict(images).trace.counts()[0].tolist() == [80, 40, 20]
    with pytest.raises(ConfigError, match=r"elastic=\[1.5, 0.5\] is no range"):
        exits("linear", mode="static", budgets=[40, 20], elastic=[1.5, 0.5])


def test_a_smaller_input_is_the_network_on_smaller_images(images):
    """0.75 of 128 x 160 are 96 x 120, of which 112 is the nearest multiple of 16 (of 7.5, 8)."""
    net, plain = network(input_scale=0.75), network()
    small = nn.functional.interpolate(images, (96, 128), mode="bilinear", antialias=True)
    with torch.no_grad():
        found, expected = net.predict(images), plain.predict(small)
        assert torch.equal(found.scores(SIZE), expected.scores(SIZE))
    labels = torch.randint(CLASSES, (2, *SIZE))
    net = network(OracleSharing(windows=3, image_size=SIZE), exits("linear"), input_scale=0.75)
    output = net.train()(torch.cat([images, labels[:, None].float()], 1))
    assert output.trace.grid == (6, 8) and output.trace.covers == SIZE
    one = network(CosineSharing(windows=3, image_size=SIZE), input_scale=0.75)
    with torch.no_grad():
        trace = one.predict(images[:1]).trace
    assert all(panel.pixels.shape == (*SIZE, 3) for panel in token_panels(images[0], trace))
    objective = SegVitObjective(criterion=AtmCriterion(num_classes=CLASSES))
    losses = objective(output, labels)
    assert losses["exit"].isfinite() and losses["focal"] > 0
    seen = labels_as_seen(labels, output)
    assert seen.shape == (2, 96, 128) and labels_as_seen(seen, output) is seen


def test_bfloat16_autocast_keeps_nearly_the_same_tokens():
    coarse = torch.rand((16, 3, 8, 10), generator=torch.Generator().manual_seed(0)) * 255
    images = nn.functional.interpolate(coarse, size=SIZE, mode="bilinear")
    net = network(None, exits("linear", mode="static", budgets=[40, 20]))
    with torch.no_grad():
        exact = net.predict(images).trace.stages[1].slots.tolist()
        with torch.autocast("cpu", torch.bfloat16):
            rough = net.predict(images).trace.stages[1].slots.tolist()
    same = sum(len(set(e) & set(r)) for e, r in zip(exact, rough, strict=True))
    assert same >= 0.97 * 16 * 40  # wide random weights: rounding in the blocks moves a few


@pytest.mark.parametrize("scorer", ["atm", "linear"])
def test_static_mode_compiles_as_one_graph(images, scorer):
    short = {"after": [1, 2], "depth": 3}  # a block more is only traced once more
    net = network(
        CosineSharing(windows=9, image_size=SIZE),
        exits(scorer, mode="static", budgets=[40, 20], **short),
        depth=short["depth"],
    )
    run = torch.compile(net.predict, backend="eager", fullgraph=True, dynamic=False)
    with torch.no_grad():
        for batch in (images, images[:1]):
            assert torch.equal(run(batch).grid_scores, net.predict(batch).grid_scores)


def test_static_mode_exports_without_data_dependent_shapes(images):
    net = network(
        RandomSharing(windows=9, image_size=SIZE),
        exits("linear", mode="static", budgets=[40, 20], context="kv", after=[1, 2], depth=3),
        depth=3,
    )

    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net.predict(x).grid_scores

    program = torch.export.export(Scores(), (images,))
    names = {str(node.target) for node in program.graph.nodes}
    bad = ("nonzero", "aten.item", "scalar_dense", "unique", "sym_size", "masked_select")
    assert not [name for name in names if any(word in name for word in bad)]
    other = images.flip(3) * 0.7
    torch.testing.assert_close(
        program.module()(other), net.predict(other).grid_scores, rtol=0, atol=1e-5
    )


def test_budgets_by_which_nothing_leaves_are_said(caplog):
    sharing = RandomSharing(windows=10, image_size=SIZE)  # which leaves 50 of 80 patches
    network(sharing, exits("linear", mode="static", budgets=[0.9, 0.5]))
    assert "budgets=[0.9, 0.5]: 0.9, after block 2, keeps all in images of data" in caplog.text
    assert "since 50 of their 80 patches are left by then" in caplog.text
    assert "below 0.625 tokens leave" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    for shared in (sharing, None):
        network(shared, exits("linear", mode="static", budgets=[0.25, 0.25]))
        assert "0.25, after block 4, keeps all" in caplog.text and len(caplog.records) == 1
        assert "since 20 of their 80 patches are left by then" in caplog.text
        caplog.clear()
    network(sharing, exits("linear", mode="static", budgets=[0.5, 0.25]))
    network(sharing, exits("linear", mode="dynamic", budgets=[0.9, 0.5]))
    assert not caplog.records
