"""Images to measure on: the data set's own, at one size, in turns."""

import pytest
import torch

from segsuite.core.errors import DataError
from segsuite.measure.images import batch_of, images_of, resized

BATCHES = [
    {"image": [torch.full((3, 8, 6), 10, dtype=torch.uint8), torch.full((3, 4, 4), 20.0)]},
    {"image": [torch.full((3, 5, 9), 30, dtype=torch.uint8)]},
]


def test_images_come_in_order_and_at_one_size() -> None:
    found = images_of(BATCHES, count=3, size=(16, 8))
    assert found.shape == (3, 3, 16, 8) and found.dtype == torch.uint8
    assert found[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_too_few_images_say_what_to_type() -> None:
    with pytest.raises(DataError, match="images=3"):
        images_of(BATCHES, count=4, size=(8, 8))


def test_a_image_of_the_right_size_is_left_alone() -> None:
    image = torch.randint(0, 256, (3, 7, 5), dtype=torch.uint8)
    assert torch.equal(resized(image, (7, 5)), image)


def test_rounds_go_through_all_images_again_and_again() -> None:
    images = torch.arange(3).view(3, 1, 1, 1)
    assert [batch_of(images, 2, turn).flatten().tolist() for turn in (-1, 0, 1, 2)] == [
        [1, 2],
        [0, 1],
        [2, 0],
        [1, 2],
    ]
