"""Pictures to measure on: the data set's own, at one size, in turns."""

import pytest
import torch

from segsuite.core.errors import DataError
from segsuite.measure.images import batch_of, pictures_of, resized

BATCHES = [
    {"image": [torch.full((3, 8, 6), 10, dtype=torch.uint8), torch.full((3, 4, 4), 20.0)]},
    {"image": [torch.full((3, 5, 9), 30, dtype=torch.uint8)]},
]


def test_pictures_come_in_order_and_at_one_size() -> None:
    found = pictures_of(BATCHES, count=3, size=(16, 8))
    assert found.shape == (3, 3, 16, 8) and found.dtype == torch.uint8
    assert found[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_too_few_pictures_say_what_to_type() -> None:
    with pytest.raises(DataError, match="pictures=3"):
        pictures_of(BATCHES, count=4, size=(8, 8))


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = torch.randint(0, 256, (3, 7, 5), dtype=torch.uint8)
    assert torch.equal(resized(image, (7, 5)), image)


def test_rounds_go_through_all_pictures_again_and_again() -> None:
    pictures = torch.arange(3).view(3, 1, 1, 1)
    assert [batch_of(pictures, 2, turn).flatten().tolist() for turn in (-1, 0, 1, 2)] == [
        [1, 2],
        [0, 1],
        [2, 0],
        [1, 2],
    ]
