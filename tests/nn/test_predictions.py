"""Scores on a grid of strides become labels of any size."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.nn.predictions import StridedPrediction, extended
from tests.reference.strided_upsampling import upsampled_by_loops

STRIDE = 4


def made(seen, classes=21):
    grid = tuple((side - 1) // STRIDE + 1 for side in seen)
    random = torch.Generator().manual_seed(seen[0] * seen[1])
    scores = torch.randn(2, classes, *grid, generator=random, dtype=torch.double)
    return StridedPrediction(scores, seen=seen, stride=STRIDE)


@pytest.mark.parametrize("seen", [(17, 25), (16, 24), (18, 23), (1, 9), (4, 4)])
def test_scores_are_those_of_the_reference(seen):
    prediction = made(seen)
    expected = torch.stack(
        [upsampled_by_loops(grid, seen, STRIDE) for grid in prediction.grid_scores]
    )
    torch.testing.assert_close(prediction.scores(seen), expected, atol=1e-12, rtol=0)


def test_on_sides_of_whole_strides_it_is_deeplabs():
    prediction = made((33, 49))
    expected = F.interpolate(
        prediction.grid_scores, size=(33, 49), mode="bilinear", align_corners=True
    )
    assert torch.equal(prediction.scores((33, 49)), expected)


@pytest.mark.parametrize("seen", [(17, 25), (16, 24), (1, 9)])
@pytest.mark.parametrize("size", [None, (40, 31), (9, 12)])
@pytest.mark.parametrize("classes", [1, 5, 21, 40])
def test_labels_are_those_of_all_scores(seen, size, classes):
    prediction, size = made(seen, classes), size or seen
    labels = prediction.labels(size)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, prediction.scores(size).argmax(1))


def test_a_padded_image_is_cropped_again():
    scores = torch.randn(1, 3, 3, 4, dtype=torch.double)
    prediction = StridedPrediction(scores, seen=(8, 11), stride=STRIDE)
    whole = F.interpolate(scores, size=(9, 13), mode="bilinear", align_corners=True)
    assert torch.equal(prediction.scores((8, 11)), whole[..., :8, :11])
    assert torch.equal(prediction.labels((8, 11)), whole[..., :8, :11].argmax(1))


def test_labels_hold_no_map_of_all_classes():
    """40 classes at 512x512 are 42 MB in float32."""
    from segsuite.measure.memory import LiveBytes

    scores = torch.randn(1, 40, 32, 32)
    with LiveBytes() as live:
        StridedPrediction(scores, seen=(512, 512), stride=16).labels((512, 512))
    assert live.peak < 30e6


def test_the_last_row_and_column_are_repeated():
    found = extended(torch.tensor([[1, 2], [3, 4]]), (3, 4))
    assert found.tolist() == [[1, 2, 2, 2], [3, 4, 4, 4], [3, 4, 4, 4]]
    assert extended(found, (1, 2)).tolist() == [[1, 2]]
