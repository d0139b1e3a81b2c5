"""The best class in chunks against the obvious argmax."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.ops import class_argmax as module
from segsuite.ops.class_argmax import class_argmax, upsampled_class_argmax
from tests.own_process import on_linux, peak_of


@pytest.mark.parametrize("classes", [1, 2, 19, 33, 150, 5000])
@pytest.mark.parametrize("with_offset", [False, True])
def test_it_is_the_argmax_of_all_logits(classes, with_offset):
    random = torch.Generator().manual_seed(classes)
    x = torch.randn(37, 5, generator=random, dtype=torch.float64)
    table = torch.randn(classes, 5, generator=random, dtype=torch.float64)
    offset = -table.square().sum(1) / 2 if with_offset else None
    logits = x @ table.T + (0 if offset is None else offset)
    assert torch.equal(class_argmax(x, table, offset), logits.argmax(1))


def test_ties_go_to_the_lowest_class_across_blocks_and_chunks():
    table = torch.zeros(module._CLASSES + 100, 2)
    table[[70, 71, 40, module._CLASSES + 5]] = torch.tensor([1.0, 0.0])
    assert class_argmax(torch.tensor([[1.0, 0.0]] * 3), table, None).tolist() == [40] * 3


def test_padding_never_wins_where_all_logits_are_negative():
    assert class_argmax(torch.ones(2, 1), torch.tensor([[-5.0], [-3.0]]), None).tolist() == [1, 1]


@pytest.mark.parametrize("normalize_after", [False, True])
def test_upsampled_in_strips(monkeypatch, normalize_after):
    monkeypatch.setattr(module, "_STRIP", 200)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 4, 5, 7, generator=random, dtype=torch.float64)
    table = torch.randn(23, 4, generator=random, dtype=torch.float64)
    offset = -table.square().sum(1) / 2
    fine = F.interpolate(maps, size=(18, 31), mode="bilinear", align_corners=False)
    fine = F.normalize(fine, dim=1) if normalize_after else fine
    logits = torch.einsum("bdhw,cd->bchw", fine, table) + offset[:, None, None]
    found = upsampled_class_argmax(maps, table, offset, (18, 31), normalize_after=normalize_after)
    assert torch.equal(found, logits.argmax(1))


@on_linux
def test_memory_is_that_of_one_chunk():
    """As the system sees it: results kept between chunks made the heap grow by each of them."""
    before = """
from segsuite.ops.class_argmax import class_argmax
x, table = torch.randn(30_000, 12), torch.randn(4000, 12)
"""
    assert peak_of("class_argmax(x, table, None)", before=before) < 25e6  # all logits take 480
