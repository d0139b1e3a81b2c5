import numpy as np
import torch

from segsuite.data.palette import colourise, overlay

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
