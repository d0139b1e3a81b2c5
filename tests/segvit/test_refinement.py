"""Patches that share a token, or whose token left, each get an answer of their own."""

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.transfer import begin_with
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.optim import parameter_groups
from segsuite.measure.closed_form import closed_form_of
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from segsuite.methods.segvit.network import SegVit
from segsuite.methods.segvit.pixel_sharing import DeviationSharing
from segsuite.methods.segvit.refinement import PatchRefinement
from tests.segvit.made import SMALL
from tests.segvit.test_network import CLASSES, DIM, exits, network

FAST = ("experiment=cts_dtop_vitt_fast", "method.pruning.after=[2]", "data.crop_size=[64,128]")
SIZE, GRID = (128, 192), (8, 12)


def refinement(*, trained: bool = True) -> PatchRefinement:
    torch.manual_seed(3)
    made = PatchRefinement(in_dim=DIM, num_classes=CLASSES, dim=12)
    if trained:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def refined(head: type = AtmSingle, mode: str = "static", scorer: str = "linear", **kind) -> SegVit:
    sharing = DeviationSharing(windows=6, large_windows=2, image_size=SIZE)  # 48 of 96 are left
    fixed = {"budgets": [0.375, 0.25]} if mode == "static" else {"theta": 0.3}
    pruning = exits(scorer, mode=mode, **fixed)
    net = network(sharing, pruning, head=head)
    net.refinement = refinement(**kind)
    return net


@pytest.fixture
def images() -> Tensor:
    coarse = torch.rand((2, 3, *GRID), generator=torch.Generator().manual_seed(0)) * 255
    return F.interpolate(coarse, size=SIZE, mode="bilinear")


def by_loops(made: PatchRefinement, tokens: Tensor, owner: Tensor, image: Tensor) -> Tensor:
    """(K, rows, columns) of one image: patch by patch, neighbour by neighbour."""
    rows, columns = GRID
    seen = image[None]
    for number, each in enumerate(made.of_pixels):
        seen = seen if number == 0 else F.relu(seen)
        stride, padding = (4, 3) if number == 0 else (2, 1)
        seen = F.conv2d(seen, each.conv.weight, stride=stride, padding=padding)
        scale = each.norm.weight / (each.norm.running_var + each.norm.eps).sqrt()
        seen = (seen - each.norm.running_mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1)
        seen = seen + each.norm.bias.view(1, -1, 1, 1)
    first, second = torch.zeros(2, rows, columns, 12)
    kernel, bias = made.around.weight[:, 0], made.around.bias
    for patch in range(rows * columns):
        row, column = divmod(patch, columns)
        token = F.layer_norm(tokens[owner[patch]], (DIM,), made.norm.weight, made.norm.bias, 1e-6)
        first[row, column] = F.gelu(made.of_tokens(token) + seen[0, :, row, column])
    for row in range(rows):
        for column in range(columns):
            summed = first[row, column] + bias
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    y, x = row + down, column + right
                    if 0 <= y < rows and 0 <= x < columns:
                        summed = summed + kernel[:, down + 1, right + 1] * first[y, x]
            second[row, column] = F.gelu(summed)
    return made.classify(second).permute(2, 0, 1)


def test_what_is_added_is_what_loops_add(images):
    net = refined()
    with torch.no_grad():
        encoded = net._encode(images)
        found = net(images).heads[-1].masks
        net.refinement = None
        plain = net(images).heads[-1].masks
        for b in range(2):
            given = (encoded.alive.features()[b], encoded.trace.owner[b], net.normalize(images)[b])
            expected = by_loops(refinement(), *given)
            torch.testing.assert_close(found[b] - plain[b], expected, rtol=1e-4, atol=1e-4)


def test_patches_of_one_token_get_answers_of_their_own(images):
    net = refined()
    with torch.no_grad():
        masks, trace = net(images).heads[-1].masks.flatten(2), net(images).trace
        net.refinement = None
        plain = net(images).heads[-1].masks.flatten(2)
    large = trace.owner[0] == trace.owner[0].max()
    assert large.sum() == 16
    assert (plain[0][:, large] == plain[0][:, large][:, :1]).all()
    assert masks[0][:, large].unique(dim=1).shape[1] == 16


@pytest.mark.parametrize("head", [AtmSingle, AtmCascade])
def test_untrained_it_changes_nothing_and_it_learns(images, head):
    net = refined(head, trained=False)
    found = net(images).heads[-1].masks
    made, net.refinement = net.refinement, None
    assert torch.equal(found, net(images).heads[-1].masks)
    net.refinement = made
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    for _ in range(2):  # the last layer moves first, and then what is below it
        optimizer.zero_grad()
        net(images).heads[-1].masks.square().mean().backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


@pytest.mark.parametrize("scorer", ["linear", "atm"])
def test_masked_and_dynamic_tokens_are_refined_alike(images, scorer):
    masked, dynamic = refined(mode="mask", scorer=scorer), refined(mode="dynamic", scorer=scorer)
    with torch.no_grad():
        found, output = masked(images).heads[-1].masks, dynamic(images)
        stages = output.trace.stages
        assert not all(stage.valid is None or stage.valid.all() for stage in stages[1:])
        torch.testing.assert_close(output.heads[-1].masks, found, rtol=1e-4, atol=1e-4)
        masked.refinement = None
        assert not torch.allclose(masked(images).heads[-1].masks, found, atol=1e-2)


@pytest.mark.parametrize("mode", ["mask", "dynamic", "static"])
def test_all_of_it_learns_in_training(images, mode):
    net = refined(mode=mode).train()
    net(images).heads[-1].masks.square().mean().backward()
    made = net.refinement
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())
    assert all(each.norm.num_batches_tracked == 1 for each in made.of_pixels)


def test_what_is_drawn_learns_at_ten_times_the_rate_of_the_backbone():
    """By the recipe that the experiments take where no other is typed."""
    config = compose("train", [*SMALL, *FAST])
    net = build(config.method.network, path="method.network")
    groups = parameter_groups(net.named_parameters(), OmegaConf.to_container(config.method.groups))
    fast = {id(p) for group in groups if group["lr_scale"] == 10 for p in group["params"]}
    drawn = [p for n, p in net.named_parameters() if not n.startswith(("backbone.", "sharing."))]
    assert drawn and fast == {id(p) for p in drawn}


@pytest.mark.parametrize("patch", [16, 8])
def test_another_network_hands_it_on_as_a_whole_or_not_at_all(patch):
    """Trained classes of features that are drawn anew would add noise to the masks."""
    typed = ["experiment=segvit_vitt", "method/refinement=patches", "data.crop_size=[64,64]"]
    config = compose("train", [*SMALL, *typed])
    there, here = (build(config.method.network, path="method.network") for _ in range(2))
    here.refinement = PatchRefinement(in_dim=24, num_classes=19, patch=patch)
    nn.init.normal_(there.refinement.classify.weight)
    plain = {"method": OmegaConf.to_container(config.method, resolve=True)}
    state = {f"network.{name}": weight for name, weight in there.state_dict().items()}
    transfer = begin_with(here, {"config": plain, "state_dict": state}, source="x")
    kept = here.refinement.classify.weight
    assert torch.equal(kept, there.refinement.classify.weight) == (patch == 16)
    assert kept.any() == (patch == 16) and ("refinement" in transfer.owns) == (patch == 8)


def test_one_of_other_people_has_no_closed_form(images):
    net = refined()
    with torch.no_grad():
        trace = net(images).trace
    assert closed_form_of(net, trace) is not None
    net.refinement = nn.Identity()
    assert closed_form_of(net, trace) is None


def test_experiments_have_it_and_none_takes_any_setting():
    without = ("experiment=segvit_vitt", "method/refinement=none", "+method.refinement.dim=7")
    for typed, kind in ((FAST, PatchRefinement), (without, type(None))):
        config = compose("train", [*SMALL, *typed])
        assert isinstance(build(config.method.network, path="method.network").refinement, kind)


@pytest.mark.parametrize("patch", [4, 8, 32])
def test_patches_of_every_power_of_two(patch):
    made = PatchRefinement(in_dim=8, num_classes=2, patch=patch, dim=12)
    owner = torch.zeros(1, 6, dtype=torch.int64)
    found = made(torch.zeros(1, 1, 8), owner, torch.zeros(1, 3, 2 * patch, 3 * patch), (2, 3))
    assert found.shape == (1, 2, 6)


@pytest.mark.parametrize("patch", [2, 14])
def test_patches_that_halving_does_not_lead_to(patch):
    with pytest.raises(ConfigError, match=f"patch={patch} is no power of two from 4 on; type meth"):
        PatchRefinement(in_dim=8, num_classes=2, patch=patch)
