import pytest
import torch
import torch.nn.functional as F

from segsuite.methods.segvit.head import AtmOutput
from segsuite.methods.segvit.predictions import (
    cascade_prediction,
    presence_scores,
    single_prediction,
)

K, GRID, SIZE = 6, (4, 5), (30, 43)


def random_output(outcomes, seed=0):
    torch.manual_seed(seed)
    return AtmOutput(torch.randn(2, K, *GRID).mul(3), torch.randn(2, K, outcomes))


def test_single_scores_are_presence_times_mask_made_on_the_grid():
    output = random_output(2)
    scores = single_prediction(output).scores(SIZE)
    for b in range(2):
        for k in range(K):
            present = output.classes[b, k].exp()[0] / output.classes[b, k].exp().sum()
            coarse = present / (1 + (-output.masks[b, k]).exp())
            expected = F.interpolate(coarse[None, None], size=SIZE, mode="bilinear")[0, 0]
            torch.testing.assert_close(scores[b, k], expected)


def test_presence_scores_take_masks_of_tokens_as_well_and_are_single_precision():
    output = random_output(2)
    flat = AtmOutput(output.masks.flatten(2).bfloat16(), output.classes.bfloat16())
    scores = presence_scores(flat)
    assert scores.shape == (2, K, GRID[0] * GRID[1]) and scores.dtype == torch.float
    torch.testing.assert_close(scores, presence_scores(output).flatten(2), rtol=0.05, atol=0.01)


def test_cascade_scores_are_the_literal_sum_over_queries():
    output = random_output(K + 1)
    scores = cascade_prediction(output).scores(SIZE)
    masks = F.interpolate(output.masks, size=SIZE, mode="bilinear").sigmoid()
    for b in range(2):
        for k in range(K):
            votes = output.classes[b].softmax(dim=-1)[:, k]
            expected = sum(votes[q] * masks[b, q] for q in range(K))
            torch.testing.assert_close(scores[b, k], expected)


@pytest.mark.parametrize("strip", [1, 2**9, 2**21])
def test_cascade_labels_are_the_argmax_of_the_scores_whatever_the_strips(strip, monkeypatch):
    monkeypatch.setattr("segsuite.methods.segvit.predictions._STRIP", strip)
    prediction = cascade_prediction(random_output(K + 1))
    assert torch.equal(prediction.labels(SIZE), prediction.scores(SIZE).argmax(dim=1))


def test_autocast_does_not_lower_the_precision_of_a_cascade():
    prediction = cascade_prediction(random_output(K + 1))
    with torch.autocast("cpu", torch.bfloat16):
        scores = prediction.scores(SIZE)
    assert torch.equal(scores, prediction.scores(SIZE))


@pytest.mark.parametrize("size", [SIZE, GRID, (3, 4)])
def test_single_labels_are_the_argmax_of_the_scores(size):
    prediction = single_prediction(random_output(2))
    assert torch.equal(prediction.labels(size), prediction.scores(size).argmax(dim=1))


def test_the_trace_is_passed_on():
    trace = object()
    assert single_prediction(random_output(2), trace).trace is trace
    assert cascade_prediction(random_output(K + 1), trace).trace is trace
