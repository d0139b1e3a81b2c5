"""Tokens alive and rows computed are two things."""

import pytest
import torch

from segsuite.measure.tokens import shown, tokens_per_stage
from segsuite.nn.token_trace import TokenTrace
from tests.bench.toy import ToyTokens, half_bright

BLACK, WHITE = torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), 255.0)


def traces(network: ToyTokens) -> list[TokenTrace]:
    return [network.predict(images).trace for images in (BLACK, WHITE, half_bright())]


def test_mean_and_range_over_images() -> None:
    first, second = tokens_per_stage(traces(ToyTokens()))
    assert (first.after, first.mean, first.least, first.most, first.computed) == (0, 16, 16, 16, 16)
    assert (second.after, second.mean, second.least, second.most) == (2, 8, 0, 16)
    assert second.computed == 8


def test_masked_rows_are_computed() -> None:
    found = tokens_per_stage(traces(ToyTokens(masks=True)))
    assert (found[1].mean, found[1].computed) == (8, 16)
    assert shown(found) == "16 → 8 of 16"


def test_images_of_a_batch_count_each() -> None:
    batch = torch.cat([BLACK, WHITE, WHITE])
    found = tokens_per_stage([ToyTokens(masks=True).predict(batch).trace])
    assert found[1].mean == pytest.approx(32 / 3)


def test_networks_are_not_mixed() -> None:
    dense = TokenTrace((4, 4), 8, torch.arange(16)[None], traces(ToyTokens())[0].stages[:1])
    with pytest.raises(ValueError, match="different exits"):
        tokens_per_stage([dense, *traces(ToyTokens())])
