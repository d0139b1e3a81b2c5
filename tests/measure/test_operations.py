"""The counter against hand counts, in every gradient mode, on every attention kernel."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from segsuite.measure.cost import Cost
from segsuite.measure.operations import OperationCounter, count, count_parameters
from tests.bench.toy import ToyTokens, half_bright
from tests.reference.flops_by_hand import macs_by_hand


class _SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


NETWORKS = {
    "grouped": lambda: nn.Conv2d(8, 12, 3, padding=1, stride=2, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2),
    "mixed": lambda: nn.Sequential(
        nn.Conv2d(8, 4, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 7),
    ),
    "attention": _SelfAttention,
}
MODES = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}


def cost_of(run, network: nn.Module | None = None) -> Cost:
    with OperationCounter(network or nn.Identity()) as counter:
        run()
    return counter.of("")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_count_by_hand(name: str, mode: str) -> None:
    network, images = NETWORKS[name]().eval(), torch.rand(3, 8, 8, 8)
    with MODES[mode]():
        found = cost_of(lambda: network(images), network)
    assert found.macs == macs_by_hand(network, images) > 0


def test_agrees_with_fvcore_on_what_fvcore_can_count() -> None:
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.LayerNorm(24), nn.Linear(24, 5),
    ).eval().requires_grad_(False)  # fmt: skip
    images = torch.rand(2, 3, 8, 8)
    assert cost_of(lambda: network(images)).fvcore == analysis(network, images).total()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_counts_attention_whatever_kernel_runs_it(backend, masked: bool, mode: str) -> None:
    query, key, value = torch.rand(2, 3, 5, 8), torch.rand(2, 3, 7, 8), torch.rand(2, 3, 7, 8)
    mask = torch.ones(2, 1, 5, 7, dtype=torch.bool) if masked else None
    with sdpa_kernel(backend), MODES[mode]():
        found = cost_of(lambda: F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
    assert found.macs == 2 * 3 * 5 * 7 * (8 + 8)


@pytest.mark.parametrize("mode", MODES)
def test_counts_every_way_to_multiply(mode: str) -> None:
    a, b, vector = torch.rand(2, 3, 4), torch.rand(2, 4, 5), torch.rand(4)
    ways = {
        "matmul": (lambda: a @ b, 2 * 3 * 4 * 5),
        "einsum": (lambda: torch.einsum("bij,bjk->bik", a, b), 2 * 3 * 4 * 5),
        "baddbmm": (lambda: torch.baddbmm(torch.zeros(3, 5), a, b), 2 * 3 * 4 * 5),
        "addbmm": (lambda: torch.addbmm(torch.zeros(3, 5), a, b), 2 * 3 * 4 * 5),
        "mm": (lambda: a[0].mm(b[0]), 3 * 4 * 5),
        "mv": (lambda: a[0].mv(vector), 3 * 4),
        "addmv": (lambda: torch.addmv(torch.zeros(3), a[0], vector), 3 * 4),
        "dot": (lambda: vector.dot(vector), 4),
    }
    with MODES[mode]():
        found = {name: cost_of(way).macs for name, (way, _) in ways.items()}
    assert found == {name: expected for name, (_, expected) in ways.items()}


def test_norms_and_resizes_are_no_multiply_adds() -> None:
    images = torch.rand(1, 4, 6, 6)
    found = cost_of(lambda: F.interpolate(F.layer_norm(images, (6,)), (3, 5), mode="bilinear"))
    assert found == Cost(norm=4 * images.numel(), resize=4 * 4 * 15)
    batch_norm = nn.BatchNorm2d(4)
    assert cost_of(lambda: batch_norm(images)) == Cost(norm=5 * images.numel())
    assert cost_of(lambda: batch_norm.eval()(images)) == Cost(norm=2 * images.numel())


def test_a_product_without_a_formula_is_an_error_and_not_a_zero() -> None:
    @torch.library.custom_op("segsuite_test::fused_matmul", mutates_args=())
    def fused_matmul(a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    with pytest.raises(NotImplementedError, match="fused_matmul"):
        cost_of(lambda: fused_matmul(torch.rand(2, 2), torch.rand(2, 2)))


def test_works_on_the_meta_device() -> None:
    network = nn.Linear(1000, 1000, device="meta")
    assert cost_of(lambda: network(torch.empty(10_000, 1000, device="meta"))).macs == 10**10


def test_an_operation_belongs_to_whoever_holds_its_weight() -> None:
    network = ToyTokens()
    found = count(network, half_bright())
    assert "embed" not in found.ran
    assert found.by_module["embed"].macs == 16 * 3 * 64 * 4


def test_an_operation_without_a_weight_belongs_to_the_module_that_runs() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x

    network = nn.Sequential(nn.Linear(2, 2), Product())
    with OperationCounter(network) as counter:
        network(torch.rand(2, 2))
    assert counter.by_module == {"0": Cost(macs=8), "1": Cost(macs=8)}
    assert list(counter.active) == ["", "0", "1"]


def test_counts_what_this_very_image_needs() -> None:
    network, dim, patches = ToyTokens(), 4, 16
    black, white = torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), 255.0)
    costs = [count(network, image).everything.macs for image in (black, half_bright(), white)]
    per_token = 3 * dim**2  # three blocks after the exit
    assert [c - costs[0] for c in costs] == [0, patches // 2 * per_token, patches * per_token]


def test_masking_tokens_saves_nothing() -> None:
    masking = ToyTokens(masks=True)
    black, white = torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), 255.0)
    assert count(masking, black).everything == count(masking, white).everything


def test_what_papers_leave_out_is_told_apart_and_a_batch_is_shared_out() -> None:
    network = ToyTokens(masks=True)
    found = count(network, torch.zeros(5, 3, 32, 32))
    assert found.excluded.macs == 6 * 3 * 3 * 9 * 32 * 32
    assert found.as_published + found.excluded == found.everything
    assert found.everything == count(network, torch.zeros(1, 3, 32, 32)).everything


def test_leaves_the_network_and_torch_as_they_were() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="on purpose"), OperationCounter(network):
        raise ValueError("on purpose")
    assert not network[0]._forward_hooks and not network[0]._forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled()


def test_shared_parameters_count_once() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    assert count_parameters(network) == 9 + 3 + 3
