"""Sharing against the original's per-image procedure, and its settings."""

import pytest
import torch
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.methods.segvit.policy import PolicyNetwork, window_labels
from segsuite.methods.segvit.slots import (
    Windows,
    share,
    slot_pixels,
    slot_positions,
    window_of_cell,
)
from segsuite.methods.segvit.token_sharing import RandomSharing
from tests.reference import token_sharing as reference

GRID, PATCH, DIM = (6, 10), 4, 5


def test_tokens_equal_the_originals_in_value_and_order():
    torch.manual_seed(0)
    images = torch.randn(2, 3, GRID[0] * PATCH, GRID[1] * PATCH, dtype=torch.float64)
    position = torch.randn(1, DIM, *GRID, dtype=torch.float64)
    embed = nn.Conv2d(3, DIM, PATCH, PATCH).double()
    scores = torch.randn(2, 15, dtype=torch.float64)
    shared = share(scores, Windows(6), GRID)
    rows = slot_pixels(images, shared, PATCH)
    tokens = rows @ embed.weight.flatten(1).T + embed.bias
    tokens = tokens + slot_positions(position.flatten(2).transpose(1, 2), shared, GRID)
    for b in range(2):
        expected = reference.shared_tokens(images[b], scores[b], 6, embed, position[0])
        torch.testing.assert_close(tokens[b], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("windows", [0, 1, 7, 15])
def test_every_patch_has_one_slot_and_windows_share_theirs(windows):
    scores = torch.rand(3, 15, generator=torch.Generator().manual_seed(1))
    shared = share(scores, Windows(windows), GRID)
    slots = 60 - 3 * windows
    assert shared.single.shape[1] + shared.small.shape[1] == slots
    for b in range(3):
        sizes = torch.bincount(shared.owner[b], minlength=slots)
        assert sizes[: 60 - 4 * windows].eq(1).all() and sizes[60 - 4 * windows :].eq(4).all()
        best = set(scores[b].topk(windows).indices.tolist())
        of_patch = window_of_cell(GRID)
        in_shared = shared.owner[b] >= 60 - 4 * windows
        assert set(of_patch[in_shared].tolist()) == best


def test_unsharing_gives_back_a_map_that_is_constant_in_shared_windows():
    scores = torch.rand(1, 15, generator=torch.Generator().manual_seed(2))
    shared = share(scores, Windows(5), GRID)
    windows = torch.arange(15.0)[window_of_cell(GRID)]
    slots = torch.cat([windows[shared.single[0]], torch.arange(15.0)[shared.small[0]]])
    assert torch.equal(slots[shared.owner[0]], windows)


def test_settings_are_checked_and_name_the_key():
    with pytest.raises(ConfigError, match=r"method.sharing.windows=300 does not fit.*256 windows"):
        RandomSharing(windows=300, image_size=(512, 512))
    with pytest.raises(ConfigError, match=r"windows=1\.5 does not fit.* a share from 0.0 to 0\.75"):
        RandomSharing(windows=1.5, image_size=(512, 512))
    with pytest.raises(ConfigError, match=r"multiples of 32.*data.crop_size is \[360, 480\]"):
        RandomSharing(windows=1, image_size=(360, 480))
    assert RandomSharing(windows=0.3, image_size=(512, 512)).counts(1024) == Windows(103)
    assert RandomSharing(windows=0.3, image_size=(640, 640)).counts(1600) == Windows(160)
    assert RandomSharing(windows=103, image_size=(512, 512)).counts(2048) == Windows(206)


def test_window_labels():
    labels = torch.zeros(1, 6, 8, dtype=torch.long)
    labels[0, 0, 2] = 1  # window (0, 1): two classes
    labels[0, 2:4, 0:2] = -1  # window (1, 0): all ignored
    labels[0, 2, 2] = -1  # window (1, 1): inside, one class and ignored
    labels[0, 5, 7] = -1  # window (2, 3): on the border, one class and ignored
    expected = torch.tensor([[[1, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]]])
    assert torch.equal(window_labels(labels, window=2), expected)
    expected[0, 2, 3] = -1
    assert torch.equal(window_labels(labels, window=2, ignore_border=True), expected)


def test_the_papers_policy_has_the_papers_size_and_grid():
    policy = PolicyNetwork(weights="none")
    assert sum(p.numel() for p in policy.parameters()) == 2_959_490
    assert policy(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 2, 3)
    small = PolicyNetwork(weights="none", stage=3, scale=0.5)
    assert small(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 2, 3)
    with pytest.raises(ConfigError, match="stride / scale"):
        PolicyNetwork(weights="none", stage=3)


def test_every_parameter_of_the_small_policy_is_used():
    policy = PolicyNetwork(weights="none", encoder="mobilenetv3_small_050", stage=3, scale=0.5)
    policy(torch.rand(2, 3, 64, 64) * 255).square().sum().backward()
    assert [name for name, p in policy.named_parameters() if p.grad is None] == []
