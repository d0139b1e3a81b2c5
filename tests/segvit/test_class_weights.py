"""Class weights in SegViT's losses, against the literal formulas."""

import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.methods.segvit.exits import exit_loss
from segsuite.methods.segvit.losses import AtmCriterion
from segsuite.methods.segvit.objective import SegVitObjective
from tests.host_syncs import host_syncs
from tests.reference.atm_losses import atm_losses
from tests.segvit.test_losses import K, criterion, random_case

WEIGHTS = [0.25, 3.0, 0.0, 1.0, 8.0]


@pytest.mark.parametrize("outcomes", [2, K + 1])
def test_all_three_terms_are_weighted_means(outcomes):
    output, labels = random_case(4, outcomes)
    weights = torch.tensor(WEIGHTS)
    ours = criterion()([output], labels, weights)
    theirs = atm_losses(output.masks, output.classes, labels, weights=weights)
    plain = criterion()([output], labels)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-12)
        assert abs(float((ours[name] - plain[name]).detach())) > 1e-3
        leaf = output.classes if name == "class" else output.masks
        (mine,) = torch.autograd.grad(ours[name], leaf, retain_graph=True)
        (expected,) = torch.autograd.grad(value, leaf, retain_graph=True)
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)
        if name != "class":
            assert (mine[:, 2] == 0).all(), "a class of weight 0 has no masks to learn"


def test_weights_of_one_are_none_and_their_scale_does_not_matter():
    output, labels = random_case(5)
    plain, ones, tiny, weighted = (
        criterion()([output], labels, w)
        for w in (None, torch.ones(K), torch.tensor(WEIGHTS) / 1000, torch.tensor(WEIGHTS))
    )
    for name in plain:
        torch.testing.assert_close(ones[name], plain[name], rtol=1e-12, atol=0)
        if name != "class":  # where absent classes keep their own weight
            torch.testing.assert_close(tiny[name], weighted[name], rtol=1e-6, atol=0)


def test_weights_add_no_wait_for_a_device():
    output, labels = random_case(6)
    plain = host_syncs(lambda: criterion()([output], labels))
    assert host_syncs(lambda: criterion()([output], labels, torch.tensor(WEIGHTS))) == plain


def test_the_linear_exits_and_the_auxiliary_one_are_weighted_means_too():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 7, K, generator=random, dtype=torch.double)
    fractions = torch.rand(2, 7, K, generator=random, dtype=torch.double)
    seen, weights = torch.rand(2, 7, generator=random) < 0.7, torch.tensor(WEIGHTS)
    total = count = 0.0
    for b in range(2):
        for n in range(7):
            for c in range(K if seen[b, n] else 0):
                weight = float(fractions[b, n, c]) * WEIGHTS[c]
                total -= weight * float(logits[b, n].float().log_softmax(0)[c])
                count += weight
    found = exit_loss(logits, seen, fractions, weights)
    assert float(found) == pytest.approx(total / count, rel=1e-6)
    ones = exit_loss(logits, seen, fractions, torch.ones(K))
    torch.testing.assert_close(ones, exit_loss(logits, seen, fractions))
    assert exit_loss(logits, torch.zeros_like(seen), fractions, weights) == 0


def test_the_objective_takes_them_and_counts_them():
    objective = SegVitObjective(criterion=AtmCriterion(num_classes=K), class_weights=WEIGHTS)
    assert objective.class_weights.of(K).tolist() == WEIGHTS
    assert SegVitObjective(criterion=criterion(), dice=0.3).criterion.dice_weight == 0.3
    assert not objective.state_dict(), "checkpoints of the network alone stay as they were"
    with pytest.raises(ConfigError, match="has 5 numbers, but the data have 6 classes"):
        objective.class_weights.of(6)
