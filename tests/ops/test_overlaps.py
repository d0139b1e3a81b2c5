"""What maps share, beside NumPy's own count of every pixel."""

import numpy as np
import pytest
import torch

from segsuite.ops import overlaps
from segsuite.ops.overlaps import overlaps_of

CASES = {
    "few values": {"values": 4},
    "negative and large ids": {"values": 50, "low": -(2**40), "step": 2**35 + 1},
    "more than an int64 can tell apart": {"values": 9, "low": -(2**61), "step": 2**58, "maps": 4},
    "more combinations than slots": {"values": 400, "pixels": 80_000},
    "runs over what is looked at together": {"values": 3, "pixels": 70_001, "repeat": 700},
    "one pixel": {"values": 3, "pixels": 1},
    "no pixel": {"values": 3, "pixels": 0},
}


def drawn(*, values, low=0, step=1, maps=3, pixels=3000, repeat=1) -> list[torch.Tensor]:
    random = np.random.default_rng(0)
    drawn = random.integers(0, values, (maps, -(-pixels // repeat))).repeat(repeat, axis=1)
    return list(torch.from_numpy(low + step * drawn[:, :pixels]))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_combination_is_counted_once(case):
    maps = drawn(**case)
    columns, pixels = overlaps_of(*maps)
    expected, counts = np.unique(torch.stack(maps).numpy(), axis=1, return_counts=True)
    order = np.lexsort(columns.numpy()[::-1])
    assert np.array_equal(columns.numpy()[:, order], expected)
    assert np.array_equal(pixels.numpy()[order], counts)
    assert columns.dtype == pixels.dtype == torch.int64


@pytest.mark.parametrize(
    "case", [CASES["few values"], CASES["runs over what is looked at together"]]
)
def test_both_ways_to_find_runs_agree(case):
    narrow, *rest = drawn(**case)
    maps = [narrow.to(torch.int16), *rest]
    for one, other in zip(
        overlaps._runs_by_numpy(maps), overlaps._runs_by_torch(maps), strict=True
    ):
        assert torch.equal(one, other) and one.dtype == other.dtype


def test_maps_of_any_shape_and_memory_order():
    one, other = torch.arange(12).view(3, 4) % 5, torch.arange(12).view(4, 3).T // 4
    columns, pixels = overlaps_of(one, other)
    pairs = set(zip(one.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True))
    assert set(map(tuple, columns.T.tolist())) == pairs and int(pixels.sum()) == 12
