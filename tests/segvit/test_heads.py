import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from tests.reference.atm_heads import atm_cascade, atm_single

IN, DIM, K, HEADS, LAYERS = 20, 12, 5, 3, 2
SMALL = {"in_dim": IN, "dim": DIM, "num_classes": K, "heads": HEADS, "layers": LAYERS}


def lively(head):
    """With weights large enough that every term shows in the output, in double precision."""
    torch.manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return head.double().eval()


@pytest.mark.parametrize("masked", [False, True])
def test_single_equals_the_plain_equations(masked):
    head = lively(AtmSingle(**SMALL))
    tokens = torch.randn(2, 7, IN).double()
    valid = torch.rand(2, 7) < 0.6 if masked else torch.ones(2, 7, dtype=torch.bool)
    valid[:, 0] = True
    output = head(tokens, valid if masked else None)
    for b in range(2):
        masks, classes = atm_single(head.state_dict(), tokens[b], HEADS, LAYERS, valid[b])
        torch.testing.assert_close(output.masks[b], masks, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(output.classes[b], classes, rtol=1e-10, atol=1e-10)


def test_cascade_equals_the_plain_equations():
    head = lively(AtmCascade(**SMALL, stages=3))
    features = [torch.randn(2, 7, IN).double() for _ in range(3)]
    outputs = head(features)
    for b in range(2):
        expected = atm_cascade(head.state_dict(), [f[b] for f in features], HEADS, LAYERS)
        for output, (masks, classes) in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output.masks[b], masks, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(output.classes[b], classes, rtol=1e-10, atol=1e-10)


def test_single_precision_loses_no_more_than_the_plain_equations_do():
    head = lively(AtmSingle(**SMALL))
    tokens = torch.randn(1, 50, IN)
    exact = head(tokens.double()).masks
    head.float()
    every = torch.ones(50, dtype=torch.bool)
    plain, _ = atm_single(head.state_dict(), tokens[0], HEADS, LAYERS, every)
    ours = (head(tokens).masks - exact).abs().max()
    assert ours <= (plain - exact[0]).abs().max() + 1e-5


def test_valid_tokens_get_the_same_answer_as_alone():
    head = lively(AtmSingle(**SMALL))
    tokens = torch.randn(2, 9, IN).double()
    valid = torch.arange(9).expand(2, -1) < 6
    among, alone = head(tokens, valid), head(tokens[:, :6])
    torch.testing.assert_close(among.masks[..., :6], alone.masks)
    torch.testing.assert_close(among.classes, alone.classes)


def test_the_order_of_tokens_does_not_matter():
    head = lively(AtmSingle(**SMALL))
    tokens, order = torch.randn(2, 9, IN).double(), torch.randperm(9)
    torch.testing.assert_close(head(tokens[:, order]).masks, head(tokens).masks[..., order])


@pytest.mark.parametrize(
    ("in_dim", "dim", "heads", "classes", "count"),
    [(768, 384, 6, 150, 7.454), (192, 192, 3, 150, 1.847), (1024, 512, 8, 150, 13.22)],
)
def test_default_sizes_and_published_parameters_of_single(in_dim, dim, heads, classes, count):
    with torch.device("meta"):
        head = AtmSingle(in_dim=in_dim, num_classes=classes)
    assert head.queries.shape == (classes, dim)
    assert head.stage.layers[0].cross_attention.heads == heads
    assert sum(p.numel() for p in head.parameters()) / 1e6 == pytest.approx(count, abs=0.005)


@pytest.mark.parametrize(("in_dim", "heads", "count"), [(768, 12, 22.30), (192, 3, 1.43)])
def test_default_sizes_and_published_parameters_of_cascade(in_dim, heads, count):
    with torch.device("meta"):
        head = AtmCascade(in_dim=in_dim, num_classes=150)
    assert head.stages[0].layers[0].cross_attention.heads == heads
    assert sum(p.numel() for p in head.parameters()) / 1e6 == pytest.approx(count, abs=0.005)


def test_every_weight_gets_a_gradient():
    single, cascade = AtmSingle(**SMALL), AtmCascade(**SMALL, stages=2)
    tokens = torch.randn(2, 6, IN)
    output = single(tokens)
    (output.masks.square().mean() + output.classes.square().mean()).backward()
    last = cascade([tokens, tokens])[-1]
    (last.masks.square().mean() + last.classes.square().mean()).backward()
    for head in (single, cascade):
        silent = [n for n, p in head.named_parameters() if p.grad is None]
        assert not silent


def test_dropout_acts_in_training_only():
    head = AtmSingle(**SMALL, dropout=0.5)
    tokens = torch.randn(1, 6, IN)
    assert not torch.equal(head(tokens).masks, head(tokens).masks)
    head.eval()
    assert torch.equal(head(tokens).masks, head(tokens).masks)


def test_misfits_are_named():
    with pytest.raises(ConfigError, match=r"method.head.stages=3.*2 features"):
        AtmCascade(**SMALL, stages=3)([torch.randn(1, 6, IN)] * 2)
    with pytest.raises(ConfigError, match=r"method.head.heads=5 .* method.head.dim=12"):
        AtmSingle(**SMALL | {"heads": 5})
