"""Windows of two sizes: every patch has one slot, in shapes that no image changes."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.core.idle import why_idle
from segsuite.methods.segvit.pixel_sharing import DeviationSharing, EntropySharing
from segsuite.methods.segvit.policy import shrunk
from segsuite.methods.segvit.slots import (
    Windows,
    share,
    slot_pixels,
    slot_positions,
)
from segsuite.methods.segvit.token_sharing import (
    ContentAwareSharing,
    CosineSharing,
    OracleSharing,
    RandomSharing,
)
from segsuite.ops.patches import halved

KINDS = (CosineSharing, DeviationSharing, EntropySharing, OracleSharing, RandomSharing)
GRID, PATCH = (8, 12), 4
PATCHES, SMALL, LARGE = 96, 24, 6


def scores(seed: int = 0, count: int = SMALL) -> torch.Tensor:
    return torch.randn(2, count, generator=torch.Generator().manual_seed(seed))


def cells(side: int) -> torch.Tensor:
    """(N,): the window of side x side that each patch lies in."""
    maps = torch.arange(PATCHES // side**2).view(GRID[0] // side, GRID[1] // side)
    return maps.repeat_interleave(side, 0).repeat_interleave(side, 1).flatten()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("small", "large"), [(0, 0), (5, 0), (0, 2), (5, 3), (0, 6), (16, 2)])
def test_every_patch_has_one_slot_and_the_best_windows_share_theirs(small, large, own):
    of_large = scores(1, LARGE) if own else None
    slots = share(scores(), Windows(small, large), GRID, of_large)
    count = Windows(small, large).tokens(PATCHES)
    for b in range(2):
        sizes = torch.bincount(slots.owner[b], minlength=count)
        assert sizes.tolist() == [1] * (count - small - large) + [4] * small + [16] * large
        if own:
            of_4x4 = of_large[b]
        else:
            of_4x4 = torch.stack(
                [scores()[b][cells(2).unique()][_inside(w)].min() for w in range(LARGE)]
            )
        best = set(of_4x4.topk(large).indices.tolist())
        owned = slots.owner[b] >= count - large
        assert set(cells(4)[owned].tolist()) == best
        left = [w for w in range(SMALL) if not any(w in _inside(of).tolist() for of in best)]
        expected = sorted(left, key=lambda w: -float(scores()[b, w]))[:small]
        shared = (slots.owner[b] >= count - large - small) & ~owned
        assert set(cells(2)[shared].tolist()) == set(expected)


def _inside(large: int) -> torch.Tensor:
    """The windows of 2x2 in one of 4x4."""
    return cells(2)[cells(4) == large].unique()


def test_without_large_windows_nothing_differs_from_sharing_at_one_size():
    one, two = (share(scores(), Windows(7), GRID, of) for of in (None, scores(1, LARGE)))
    assert torch.equal(one.owner, two.owner) and torch.equal(one.single, two.single)
    assert one.large is None and two.large is None


def test_unsharing_gives_back_a_map_that_is_constant_in_shared_windows():
    slots = share(scores(), Windows(6, 2), GRID)
    for b in range(2):
        values = torch.arange(float(PATCHES))
        for side, windows in ((2, slots.small[b]), (4, slots.large[b])):
            for window in windows:
                values[cells(side) == window] = 1000.0 * side + window
        of_slots = torch.cat(
            [values[slots.single[b]], 2000.0 + slots.small[b], 4000.0 + slots.large[b]]
        )
        assert torch.equal(of_slots[slots.owner[b]], values)


def test_pixels_and_positions_of_a_slot_are_the_mean_of_its_own():
    torch.manual_seed(0)
    images = torch.rand(2, 3, GRID[0] * PATCH, GRID[1] * PATCH, dtype=torch.float64)
    position = torch.rand(1, PATCHES, 5, dtype=torch.float64)
    slots = share(scores(), Windows(6, 2), GRID)
    rows = slot_pixels(images, slots, PATCH)
    where = slot_positions(position, slots, GRID)
    halves = F.interpolate(images, scale_factor=0.5, mode="bilinear")
    quarters = F.interpolate(halves, scale_factor=0.5, mode="bilinear")
    for b in range(2):
        for slot in range(48):
            own = (slots.owner[b] == slot).nonzero().flatten()
            expected = position[0][own].mean(0)
            torch.testing.assert_close(where[b, slot], expected, rtol=0, atol=1e-12)
            side = {1: 1, 4: 2, 16: 4}[len(own)]
            source = {1: images, 2: halves, 4: quarters}[side][b]
            top, left = int(own[0]) // GRID[1] // side, int(own[0]) % GRID[1] // side
            cut = source[:, top * PATCH :, left * PATCH :][:, :PATCH, :PATCH]
            torch.testing.assert_close(rows[b, slot], cut.flatten(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [DeviationSharing, EntropySharing])
def test_uniform_windows_come_first_whatever_the_precision(kind):
    sharing = kind(windows=2, large_windows=1, image_size=(32, 48), patch=PATCH)
    image = torch.randint(256, (1, 3, 32, 48), generator=torch.Generator().manual_seed(0))
    image[:, :, :16, 16:32] = 85  # one window of 4x4
    image[:, :, 24:, :8] = torch.tensor([10, 20, 200]).view(1, 3, 1, 1)  # one of 2x2
    for dtype in (torch.uint8, torch.float32, torch.float16):
        found = sharing.window_scores(image.to(dtype), lambda: None)
        assert found.small.dtype == torch.float32 and found.small.isfinite().all()
        assert found.large.argmax() == 1 and found.large[0, 1] == 0
        assert found.small[0, 18] == 0 and (found.small == 0).sum() == 5
        assert found.small.shape == (1, SMALL) and found.large.shape == (1, LARGE)


def test_deviation_is_that_of_the_grey_values():
    sharing = DeviationSharing(windows=2, large_windows=1, image_size=(32, 48), patch=PATCH)
    image = torch.rand(2, 3, 32, 48) * 255
    found = sharing.window_scores(image, lambda: None)
    for side, score in ((8, found.small), (16, found.large)):
        parts = F.unfold(image.mean(1, keepdim=True), side, stride=side)
        torch.testing.assert_close(score, -parts.std(1, correction=0), rtol=1e-5, atol=1e-4)


def test_entropy_is_that_of_the_levels():
    sharing = EntropySharing(windows=2, levels=16, image_size=(32, 48), patch=PATCH)
    image = torch.rand(1, 3, 32, 48) * 255
    parts = F.unfold(image.mean(1, keepdim=True), 8, stride=8)[0].T
    shares = torch.stack([part.div(16).floor().histc(16, 0, 16) / 64 for part in parts])
    expected = torch.special.xlogy(shares, shares).sum(1)
    torch.testing.assert_close(sharing.window_scores(image, lambda: None).small[0], expected)


def test_each_policy_says_how_uniform_windows_of_4x4_are():
    labels = torch.zeros(1, 4, 32, 48)
    labels[:, 3, 5, 20] = 1.0
    oracle = OracleSharing(windows=2, large_windows=1, image_size=(32, 48), patch=PATCH)
    found = oracle.window_scores(labels, lambda: None)
    assert found.large.tolist() == [[1, 0, 1, 1, 1, 1]] and found.small.sum() == SMALL - 1
    cosine = CosineSharing(windows=2, large_windows=1, image_size=(32, 48), patch=PATCH)
    tokens = torch.randn(1, PATCHES, 7)
    tokens[:, cells(4) == 4] = 3.0
    assert cosine.window_scores(labels, lambda: tokens).large.argmax() == 4
    drawn = RandomSharing(windows=2, large_windows=1, image_size=(32, 48), patch=PATCH)
    assert drawn.eval().window_scores(labels, lambda: None).large.shape == (1, LARGE)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"windows": 0, "tokens": 640}, None),
        ({"windows": 0, "tokens": 448, "large_windows": 16}, None),
        ({"windows": 0, "tokens": 512}, r"tokens=512 cannot be reached.*tokens=511 or 514"),
        ({"windows": 0, "tokens": 100}, r"tokens=100 cannot be reached.*tokens=256$"),
        ({"windows": 200, "large_windows": 16}, r"=200 are 200.*there are 192.*at most 192"),
        ({"windows": 0, "large_windows": 65}, r"large_windows=65 does not fit.* 64 windows of 4x4"),
        ({"windows": 0, "large_windows": 0.95}, r"large_windows=0\.95 .* to 0\.9375"),
    ],
)
def test_numbers_of_windows_and_tokens(typed, said):
    if said is None:
        sharing = RandomSharing(image_size=(512, 512), **typed)
        assert sharing.counts(1024).tokens(1024) == typed["tokens"]
        assert sharing.counts(2304).tokens(2304) == pytest.approx(2.25 * typed["tokens"], abs=2)
        return
    with pytest.raises(ConfigError, match=said):
        RandomSharing(image_size=(512, 512), **typed)


@pytest.mark.parametrize("kind", [*KINDS, ContentAwareSharing])
def test_windows_that_tokens_replace_are_said_to_do_nothing(kind):
    said = why_idle(kind, "windows", {"windows": 10, "tokens": 700}, "method.sharing")
    assert said is not None and "tokens" in said
    assert why_idle(kind, "windows", {"windows": 10}, "method.sharing") is None


def test_windows_of_4x4_ask_for_sides_of_four_patches():
    kind = {"windows": 4, "image_size": (352, 480)}
    assert RandomSharing(**kind).size_divisor == 32
    with pytest.raises(ConfigError, match=r"multiples of 64.*data.crop_size=\[384, 512\]"):
        RandomSharing(**kind, large_windows=1)
    assert RandomSharing(windows=0.3, image_size=(512, 512), large_windows=0.2).counts(
        1024
    ) == Windows(103, 14)


def test_halving_is_averaging_and_bilinear_resizing_once_or_twice():
    images = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(1)) * 255
    bilinear = F.interpolate(images, scale_factor=0.5, mode="bilinear")
    torch.testing.assert_close(halved(images), bilinear, rtol=1e-6, atol=1e-5)
    twice = F.avg_pool2d(images, 4)
    torch.testing.assert_close(halved(halved(images)), twice, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(shrunk(images, 4), twice, rtol=1e-6, atol=1e-5)
    assert shrunk(images, 1) is images and shrunk(images[..., :30, :60], 6).shape == (2, 3, 5, 10)
