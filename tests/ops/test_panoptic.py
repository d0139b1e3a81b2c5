"""Panoptic targets and post-processing on tensors are what loops give, ties included."""

import numpy as np
import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.measure.memory import peak_bytes
from segsuite.nn.grouping import Grouping
from segsuite.ops import nearest_centre as module
from segsuite.ops.centre_list import centre_list
from segsuite.ops.nearest_centre import nearest_centre
from segsuite.ops.panoptic_grouping import panoptic_maps
from segsuite.ops.panoptic_targets import panoptic_targets
from segsuite.runtime.panoptic import nearest_centre as without_torch
from tests.ops.panoptic_cases import THINGS, case
from tests.ops.panoptic_speed import compare
from tests.reference.panoptic_loops import centres_by_loops, maps_by_loops, targets_by_loops

SEEDS = range(200)


def tensors(*arrays):
    """Batches of one image."""
    return [torch.from_numpy(a).unsqueeze(0) for a in arrays]


@pytest.mark.parametrize("sigma", [1, 2])
def test_targets_are_those_of_loops(sigma):
    asked = {"things": THINGS, "sigma": sigma, "small_area": 20, "small_weight": 3.0}
    for seed in SEEDS[sigma - 1 :: 2]:
        given = case(seed)
        expected = targets_by_loops(given.labels, given.instances, **asked)
        found = panoptic_targets(*tensors(given.labels, given.instances), **asked)
        for name, map_, value in zip(found._fields, expected, found, strict=True):
            assert value.dtype == torch.float32 and value.shape[0] == 1
            assert (
                value.numpy().squeeze((0, 1) if value.dim() == 4 and value.shape[1] == 1 else 0)
                == map_
            ).all(), (seed, name)


def test_targets_of_a_batch_are_those_of_its_images(monkeypatch):
    monkeypatch.setattr("segsuite.ops.panoptic_targets._AT_ONCE", 200)  # a few windows at once
    given = case(11)
    labels, instances = (
        torch.stack([m, m.flip(0), m.flip(1)])  # the same ids in each
        for m in (torch.from_numpy(given.labels), torch.from_numpy(given.instances))
    )
    asked = {"things": THINGS, "sigma": 2}
    batch = panoptic_targets(labels, instances, **asked)
    for b in range(3):
        alone = panoptic_targets(labels[b : b + 1], instances[b : b + 1], **asked)
        for one, all_ in zip(alone, batch, strict=True):
            assert torch.equal(one[0], all_[b])


def test_without_any_thing_there_is_no_heat():
    found = panoptic_targets(
        torch.zeros(1, 4, 4, dtype=torch.int64),
        torch.ones(1, 4, 4, dtype=torch.int32),
        things=THINGS,
        sigma=8,
    )
    assert not found.heat.any() and not found.offset_weight.any() and found.centre_weight.all()


def test_centres_are_those_of_loops():
    for seed in SEEDS:
        heat = case(seed).heat
        asked = {"threshold": 0.125, "kernel": (1, 3, 7)[seed % 3], "count": (4, 30)[seed % 2]}
        expected = centres_by_loops(heat, **asked)
        centres, scores = centre_list(torch.from_numpy(heat)[None, None], **asked)
        found = [
            (y, x, s) for (y, x), s in zip(centres[0].tolist(), scores[0].tolist(), strict=True)
        ]
        assert found == expected + [(0, 0, 0.0)] * (asked["count"] - len(expected)), seed


def test_settings_of_centres_that_cannot_be():
    with pytest.raises(ConfigError, match="kernel=4"):
        centre_list(torch.zeros(1, 1, 4, 4), kernel=4)
    with pytest.raises(ConfigError, match="threshold=-1"):
        centre_list(torch.zeros(1, 1, 4, 4), threshold=-1)


@pytest.mark.parametrize("tile", [1, 8])
def test_maps_are_those_of_loops(monkeypatch, tile):
    monkeypatch.setattr(module, "_TILE", tile)
    monkeypatch.setattr(module, "_AT_ONCE", 50)
    compared = 0
    for seed in SEEDS[tile % 2 :: 2]:
        given = case(seed)
        peaks = centres_by_loops(given.heat, threshold=0.1, kernel=3, count=12)
        expected = maps_by_loops(
            given.labels,
            given.offsets,
            peaks,
            things=THINGS,
            stuff_area=40,
            probabilities=given.probabilities,
        )
        heat = torch.from_numpy(given.heat)[None, None]
        labels, offsets, probabilities = tensors(given.labels, given.offsets, given.probabilities)
        found = panoptic_maps(
            labels,
            offsets,
            *centre_list(heat, threshold=0.1, kernel=3, count=12),
            things=THINGS,
            stuff_area=40,
            probabilities=probabilities,
        )
        assert found.labels.dtype == torch.int64 and found.instances.dtype == torch.int32
        assert (found.labels[0].numpy() == expected[0]).all(), seed
        assert (found.instances[0].numpy() == expected[1]).all(), seed
        rows = zip(*(column[0].tolist() for column in found[2:4]), found.scores[0], strict=True)
        for row, (class_, area, score) in zip(rows, expected[2], strict=False):
            assert row[:2] == (class_, area) and row[2] == np.float32(score), seed
        assert (found.classes[0, len(peaks) :] == -1).all()
        assert not found.areas[0, len(peaks) :].any() and not found.scores[0, len(peaks) :].any()
        compared += len(peaks)
    assert compared > 300


def test_votes_are_rounded_before_they_are_compared():
    centres, pixels = torch.tensor([[0, 0], [2, 0]]), torch.tensor([0])
    for beyond, expected in ((2.0**-18, 0), (2.0**-15, 1)):
        offsets = torch.tensor([1 + beyond, 0.0]).view(2, 1, 1)
        assert nearest_centre(pixels, offsets, centres).tolist() == [expected]
        ours = without_torch(pixels.numpy(), offsets.numpy(), centres.numpy())
        assert ours.tolist() == [expected]


def test_tiles_settle_most_votes_and_none_wrongly():
    random = torch.Generator().manual_seed(0)
    size = (96, 160)
    centres = torch.stack([torch.randint(0, n, (9,), generator=random) for n in size], 1)
    table = module.certain_tiles(centres.double(), size)
    assert (table >= 0).float().mean() > 0.4
    pixels = torch.arange(size[0] * size[1])
    offsets = torch.randn(2, *size, generator=random) * 20
    found = nearest_centre(pixels, offsets, centres)
    y, x = pixels // size[1] + offsets[0].flatten(), pixels % size[1] + offsets[1].flatten()
    votes = torch.stack([y, x], 1).double()
    distance = (votes[:, None] - centres).square().sum(2)
    assert (distance.gather(1, found[:, None])[:, 0] <= distance.amin(1) + 1e-2).all()
    assert (found == distance.argmin(1)).float().mean() > 0.999


def test_maps_of_a_batch_are_those_of_its_images():
    cases = [case(seed) for seed in (2, 3, 4)]
    labels, offsets, heat, probabilities = (
        torch.stack([torch.from_numpy(getattr(c, of)[..., :3, :3]) for c in cases])
        for of in ("labels", "offsets", "heat", "probabilities")
    )
    centres, scores = centre_list(heat[:, None], kernel=1, count=9)
    asked = {"things": THINGS, "stuff_area": 2}
    batch = panoptic_maps(labels, offsets, centres, scores, probabilities=probabilities, **asked)
    for b in range(3):
        given = (of[b : b + 1] for of in (labels, offsets, centres, scores))
        alone = panoptic_maps(*given, probabilities=probabilities[b : b + 1], **asked)
        for one, all_ in zip(alone, batch, strict=True):
            assert torch.equal(one[0], all_[b])


def test_classes_without_things_are_stuff_alone():
    labels = torch.tensor([[[0, 0, -1], [0, 5, 5]]])
    centres, scores = centre_list(torch.rand(1, 1, 2, 3) + 1, count=4)
    offsets = torch.zeros(1, 2, 2, 3)
    found = panoptic_maps(labels, offsets, centres, scores, things=(), stuff_area=3)
    assert found.labels.tolist() == [[[0, 0, -1], [0, -1, -1]]]
    assert not found.instances.any() and (found.classes == -1).all() and found.scores is None
    targets = panoptic_targets(labels, torch.ones_like(labels).int(), things=(), sigma=8)
    assert not targets.heat.any() and targets.centre_weight.sum() == 5


def test_memory_is_that_of_a_few_maps():
    """Of a Cityscapes image, half of which is things, with 200 centres."""
    size, random = (1024, 2048), torch.Generator().manual_seed(0)
    evidence = torch.randn(22, *size, generator=random)
    evidence[19] = evidence[19].sigmoid()
    evidence[20:] *= 50

    def run() -> None:
        found = Grouping(most=200)(evidence, range(9, 19), seen=size)
        assert (found.areas > 0).sum() == 200

    assert peak_bytes(run, torch.device("cpu")) < 200e6  # distances to all centres take 1680


def test_it_is_twenty_times_as_fast_as_loops_and_more():
    """At 1024x2048 it is more than a hundred times: the module of `compare` prints it."""
    ours, loops = compare((128, 256))
    assert loops > 20 * ours


def test_more_centres_than_ids_have_room_for():
    with pytest.raises(ConfigError, match="1000 centres"):
        panoptic_maps(
            torch.zeros(1, 2, 2, dtype=torch.int64),
            torch.zeros(1, 2, 2, 2),
            torch.zeros(1, 1000, 2, dtype=torch.int64),
            torch.zeros(1, 1000),
            things=THINGS,
            stuff_area=0,
        )


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits():
    for seed in SEEDS[::4]:
        given = case(seed)
        labels, instances = tensors(given.labels, given.instances)
        asked = {"things": THINGS, "sigma": 2}
        ours = panoptic_targets(labels, instances, **asked)
        theirs = panoptic_targets(labels.cuda(), instances.cuda(), **asked)
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other.cpu()), seed
        heat, offsets, probabilities = tensors(given.heat, given.offsets, given.probabilities)
        found = []
        for device in ("cpu", "cuda"):
            centres = centre_list(heat[None].to(device), threshold=0.1, kernel=3, count=12)
            maps = (labels.to(device), offsets.to(device), *centres)
            on_it = {"probabilities": probabilities.to(device), "stuff_area": 40}
            found.append(panoptic_maps(*maps, things=THINGS, **on_it))
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other.cpu()), seed


def test_what_is_not_finite_is_no_score():
    labels, offsets = torch.full((1, 2, 2), 3), torch.zeros(1, 2, 2, 2)
    probabilities = torch.tensor([[[1.0, float("nan")], [float("inf"), 1.0]]])
    centres = torch.zeros(1, 1, 2, dtype=torch.int64)
    asked = {"things": THINGS, "stuff_area": 0, "probabilities": probabilities}
    found = panoptic_maps(labels, offsets, centres, torch.ones(1, 1), **asked)
    assert found.scores.tolist() == [[0.5]]
