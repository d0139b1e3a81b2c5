import numpy as np
import torch

from segsuite.data.palette import bordered, colourise, overlay

COLORS = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)


def test_labels_become_their_colours_and_ignored_black() -> None:
    labels = torch.tensor([[0, 1], [-1, 1]])
    got = colourise(labels, COLORS)
    assert got.dtype == np.uint8
    assert got.tolist() == [[[10, 20, 30], [200, 100, 0]], [[0, 0, 0], [200, 100, 0]]]


def test_an_overlay_mixes_but_where_ignored() -> None:
    image = torch.full((3, 1, 2), 100, dtype=torch.uint8)
    got = overlay(image, torch.tensor([[1, -1]]), COLORS, alpha=0.25)
    assert got.tolist() == [[[125, 100, 75], [100, 100, 100]]]


def test_a_white_line_parts_instances() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    ids = np.array([[1, 2, 2], [1, 2, 2], [1, 2, 3]])
    white = np.array([[1, 0, 0], [1, 0, 1]], bool)
    for instances in (ids, torch.from_numpy(ids)):
        assert np.array_equal(bordered(pixels, instances), white[..., None] * np.uint8([255] * 3))
    assert not bordered(pixels, ids[:2])[1, 2].any(), "nothing goes on below"
