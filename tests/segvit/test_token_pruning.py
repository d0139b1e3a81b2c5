"""The keep rule against the obvious loop, and budgets."""

from functools import partial

import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.methods.segvit.exits import ExitScores, LinearExit, class_fractions, exit_loss
from segsuite.methods.segvit.token_pruning import TokenPruning, priority, stays
from tests.reference import token_pruning as reference


def scores(generator: torch.Generator, batch: int, n: int, classes: int) -> ExitScores:
    # Coarse steps make ties, and few classes make classes with more, fewer and exactly 5 tokens.
    steps = int(torch.randint(3, 40, (), generator=generator))
    confidence = torch.randint(0, steps + 1, (batch, n), generator=generator) / steps
    return ExitScores(confidence, torch.randint(0, classes, (batch, n), generator=generator))


def test_keep_rule_equals_the_loop_on_1000_random_cases():
    generator = torch.Generator().manual_seed(0)
    left = 0
    for case in range(1000):
        n, classes = 5 + case % 60, 1 + case % 9
        theta = float(torch.rand((), generator=generator))
        s = scores(generator, 2, n, classes)
        expected = reference.stays(s.confidence, s.label, theta, 5)
        assert torch.equal(stays(s, theta, 5), expected), case
        left += int((~expected).sum())
    assert left > 5000  # the cases do prune


def test_a_budget_of_the_dynamic_count_keeps_the_same_tokens():
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        confidence = torch.rand((1, 80), generator=generator)
        s = ExitScores(confidence, torch.randint(0, 7, (1, 80), generator=generator))
        kept = stays(s, 0.6, 5)
        chosen = priority(s, 5).topk(int(kept.sum())).indices
        assert set(chosen[0].tolist()) == set(kept[0].nonzero()[:, 0].tolist())


def test_of_equally_certain_tokens_the_earlier_stay():
    s = ExitScores(torch.full((2, 400), 0.9), torch.zeros((2, 400), dtype=torch.long))
    assert priority(s, 5).topk(150).indices.tolist() == [list(range(150))] * 2


def pruning(**kwargs) -> TokenPruning:
    known = {
        "after": [2, 4],
        "scorer": partial(LinearExit),
        "in_dim": 8,
        "num_classes": 3,
        "depth": 6,
        "image_size": (64, 64),
    }
    return TokenPruning(**(known | kwargs))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"after": [0, 2]}, "out of range"),
        ({"after": [2, 6]}, "after block 1 to 5"),
        ({"after": [4, 2]}, r"type method.pruning.after=\[2, 4\]"),
        ({"after": [2, 2]}, "out of order"),
        ({"after": []}, "method/pruning=none"),
        ({"after": [1.5]}, "out of range"),
        ({"after": [0.5, 0.51]}, r"type method.pruning.after=\[3\]"),
        ({"mode": "static"}, "budgets=null; for example"),
        ({"mode": "static", "after": [3], "budgets": [8, 4]}, r"for example \[0.5\]$"),
        ({"mode": "static", "after": [1, 2, 3]}, r"for example \[0.5, 0.375, 0.281\]$"),
        ({"mode": "static", "budgets": [4, 8]}, "falling order"),
        ({"mode": "static", "budgets": [8, 0]}, "above 0"),
        ({"mode": "static", "budgets": [8, 0.25]}, "mixes counts"),
        ({"mode": "static", "budgets": [2.0, 1.0]}, "at most 1.0"),
        ({"mode": "dynamic", "budgets": [2.0]}, "at most 1.0"),
        ({"mode": "mask", "budgets": [4, 8]}, "falling order"),
        ({"mode": "static", "budgets": [999, 4]}, r"patches of data\.crop_size"),
        (
            {"scorer": partial(LinearExit, temperature=0.0)},
            r"method\.pruning\.scorer\.temperature=0\.0",
        ),
    ],
)
def test_bad_settings_name_the_key(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        pruning(**kwargs)


def test_exits_stand_after_blocks_or_after_shares_of_the_depth():
    assert pruning(after=[0.33, 0.67]).after == (2, 4)
    assert pruning(after=[1, 0.5]).after == (1, 3)


def test_budgets_are_counts_or_shares_and_follow_the_image_size():
    counts = pruning(mode="static", budgets=[8, 4])
    assert [counts.budget(0, 100, 16), counts.budget(1, 100, 32)] == [8, 8]
    shares = pruning(mode="static", budgets=[0.5, 0.375])
    assert [shares.budget(0, 2000, 1024), shares.budget(1, 2000, 1024)] == [512, 384]
    assert counts.budget(0, 5, 16) == 5  # never more than are alive


def test_class_fractions_count_pixels_and_leave_out_ignored_ones():
    labels = torch.full((1, 4, 8), -1)
    labels[0, :2, :4] = 2
    labels[0, :, 4:] = 1
    fractions = class_fractions(labels, patch=4, num_classes=3)
    assert torch.equal(fractions, torch.tensor([[[0, 0, 0.5], [0, 1.0, 0]]]))


def test_exit_loss_is_the_mean_over_seen_pixels():
    logits = torch.randn((1, 2, 3), dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    fractions = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]])
    seen = torch.tensor([[True, False]])
    expected = -(logits[0, 0].log_softmax(0)[:2].mean())
    assert torch.allclose(exit_loss(logits, seen, fractions), expected)
    assert exit_loss(logits, torch.zeros_like(seen), fractions) == 0
