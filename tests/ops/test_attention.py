"""Attention of narrow queries: the same numbers as by the whole matrix, which is never held."""

import pytest
import torch

from segsuite.measure.memory import LiveBytes
from segsuite.ops.attention import attention
from tests.reference.hyctas_cells import attention_of_all_pairs


def drawn(places: int, narrow: int, wide: int, dtype=torch.float64) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, places, width, generator=random, dtype=dtype)
        for width in (narrow, narrow, wide)
    ]


@pytest.mark.parametrize(("places", "narrow", "wide"), [(1, 1, 3), (40, 10, 85), (257, 16, 16)])
def test_as_by_the_whole_matrix(places, narrow, wide):
    tensors = drawn(places, narrow, wide)
    expected = attention_of_all_pairs(*tensors)
    with torch.no_grad():
        torch.testing.assert_close(attention(*tensors), expected)
    for tensor in tensors:
        tensor.requires_grad_()
    found = attention(*tensors)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), tensors),
        torch.autograd.grad(attention_of_all_pairs(*tensors).square().sum(), tensors),
    )


def test_the_matrix_is_never_held():
    tensors = drawn(2048, 8, 64, torch.float32)
    whole = 2 * 2048 * 2048 * 4
    for learning in (False, True):
        for tensor in tensors:
            tensor.requires_grad_(learning)
        with LiveBytes() as live:
            attention(*tensors)
        assert live.peak < whole / 4
    with LiveBytes() as live:
        attention_of_all_pairs(*tensors)
    assert live.peak >= whole


def test_shapes_without_memory():
    found = attention(*(tensor.to("meta") for tensor in drawn(40, 10, 85)))
    assert found.shape == (2, 40, 85) and found.is_meta
