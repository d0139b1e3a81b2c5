"""The network: cells by the slow reference, sizes, auxiliary heads, drop path."""

import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.heads import QuarterHead
from segsuite.methods.hyctas.loss import HybridLoss
from segsuite.methods.hyctas.network import HybridSegmenter
from segsuite.methods.hyctas.operations import CELLS, AttentionCell, LightConvolution
from segsuite.nn.deploy import deployed
from segsuite.nn.drop_path import DropPath
from tests.hyctas.made import TWO_BRANCHES, network, parameters, stirred
from tests.reference.hyctas_cells import attention_cell


def two_branches(**changes) -> HybridSegmenter:
    torch.manual_seed(0)
    kind = {"head": QuarterHead, "num_classes": 5} | changes
    return HybridSegmenter(genotype=Genotype(**TWO_BRANCHES), **kind)


def images(*, sides=(64, 96), count=2) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *sides), dtype=torch.uint8, generator=random)


@pytest.mark.parametrize(
    ("operation", "sides", "stride", "expected"),
    [
        ("conv", (256, 256), 1, 590_336),
        ("light", (256, 256), 1, 656_384),
        ("light2", (256, 256), 1, 1_246_720),
        ("skip", (256, 256), 1, 66_048),
        ("attention", (256, 256), 1, 214_849),
        ("attention", (256, 256), 2, 805_185),
        ("conv", (256, 512), 2, 1_180_672),
        ("light", (256, 512), 2, 1_180_672),
        ("light2", (256, 512), 2, 3_540_992),
    ],
)
def test_parameters_of_the_operations(operation, sides, stride, expected):
    """The paper's table 2 and the released code."""
    with torch.device("meta"):
        assert parameters(CELLS[operation](*sides, stride=stride, drop=0.0)) == expected


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(16, 16), (16, 24)])
def test_attention_is_the_formulas(stride, sides):
    torch.manual_seed(0)
    cell = stirred(AttentionCell(*sides, stride=stride, drop=0.5)).double()
    x = torch.randn(2, sides[0], 6, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(cell(x), attention_cell(cell, x))


@pytest.mark.parametrize("operation", [name for name in CELLS if name != "skip"])
def test_stride_2_halves_and_stride_1_keeps(operation):
    x = torch.randn(2, 8, 6, 10)
    for stride, size in ((1, (6, 10)), (2, (3, 5))):
        assert CELLS[operation](8, 12, stride=stride, drop=0.0)(x).shape == (2, 12, *size)
    with pytest.raises(ConfigError, match="keeps the resolution"):
        CELLS["skip"](8, 8, stride=2, drop=0.0)


@pytest.mark.parametrize("head", ["light", "s4", "s4s8", "lite"])
def test_labels_at_any_size_that_fits(head):
    built = stirred(network("method/genotype=s", f"method/head={head}", classes=4))
    with torch.no_grad():
        prediction = built.predict(images(sides=(32, 96)))
    stride = 8 if head == "light" else 4
    assert prediction.grid_scores.shape == (2, 4, 32 // stride, 96 // stride)
    assert prediction.labels((32, 96)).shape == (2, 32, 96)
    with pytest.raises(ConfigError, match="multiples of 32"):
        built.predict(images(sides=(48, 96)))


def test_auxiliary_heads_are_run_in_training_alone():
    built = two_branches()
    ran = []
    for name, part in built.named_modules():
        if name.startswith(("auxiliary_heads.", "auxiliary_maps.")):
            part.register_forward_hook(lambda *_: ran.append(1))
    assert len(built.train()(images()).auxiliary) == 2 and ran
    ran.clear()
    assert built.eval()(images()).auxiliary == [] and not ran
    assert two_branches(auxiliary_heads="fusions").train()(images()).auxiliary == []


def test_the_loss_of_auxiliary_heads_has_its_weight():
    built = two_branches().train()
    labels = torch.randint(5, (2, 64, 96))
    output = built(images())
    losses = HybridLoss(auxiliary=0.2)(output, labels)
    plain = HybridLoss(auxiliary=1.0)(output, labels)
    assert losses["ce"] == plain["ce"]
    torch.testing.assert_close(losses["auxiliary"], 0.2 * plain["auxiliary"])
    assert set(HybridLoss()(built.eval()(images()), labels)) == {"ce"}


def test_every_weight_learns():
    built = two_branches(drop_path=0.0).train()
    losses = HybridLoss()(built(images()), torch.randint(5, (2, 64, 96)))
    sum(losses.values()).backward()
    idle = [n for n, p in built.named_parameters() if p.grad is None]
    assert not idle


def test_drop_path_rises_and_leaves_the_bypass():
    built = two_branches(drop_path=0.4)
    built.raise_drop_path(0.5)
    found = {p.probability for p in built.backbone.cells.modules() if isinstance(p, DropPath)}
    assert found == {0.2}
    cell = LightConvolution(4, 4, stride=1, drop=0.999999).train()
    x = torch.randn(2, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(cell(x), cell.bypass(x).relu())


def test_as_fast_as_it_can_be_run_it_answers_the_same():
    built = stirred(two_branches())
    ready = deployed(built, lambda n: n.predict(images()))
    with torch.no_grad():
        expected = built.predict(images()).grid_scores
        found = ready.predict(images()).grid_scores
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
