import itertools

import pytest
import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F

from segsuite.core.labels import IGNORE
from segsuite.methods.segvit.head import AtmOutput
from segsuite.methods.segvit.losses import AtmCriterion, present_classes
from segsuite.methods.segvit.mask_losses import mask_losses
from tests.reference.atm_losses import atm_losses

K, GRID, SIZE = 5, (3, 4), (24, 30)


def random_case(seed, outcomes=2, batch=3, kind=torch.double):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randn(batch, K, *GRID, generator=generator, dtype=kind).mul(4)
    classes = torch.randn(batch, K, outcomes, generator=generator, dtype=kind)
    coarse = torch.randint(IGNORE, K, (batch, 1, 6, 6), generator=generator)
    labels = F.interpolate(coarse.double(), size=SIZE)[:, 0].long()
    labels[0][labels[0] == 2] = IGNORE  # absent from one image
    return AtmOutput(masks.requires_grad_(), classes.requires_grad_()), labels


def criterion(**changes):
    plain = {"class_weight": 1.0, "focal_weight": 1.0, "dice_weight": 1.0}
    return AtmCriterion(num_classes=K, **plain | changes)


@pytest.mark.parametrize(
    ("outcomes", "leave_ignored", "stride"),
    list(itertools.product([2, K + 1], [False, True], [1, 3])),
)
def test_equals_the_literal_formulas_and_their_gradients(outcomes, leave_ignored, stride):
    output, labels = random_case(0, outcomes)
    ours = criterion(mask_ignore=leave_ignored, label_stride=stride)([output], labels)
    theirs = atm_losses(
        output.masks, output.classes, labels, leave_ignored=leave_ignored, stride=stride
    )
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=1e-12)
        leaf = output.classes if name == "class" else output.masks
        (mine,) = torch.autograd.grad(ours[name], leaf, retain_graph=True)
        (expected,) = torch.autograd.grad(value, leaf, retain_graph=True)
        assert expected.abs().max() > 0
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-12)


def test_single_precision_is_as_good_as_the_formulas_in_single_precision():
    output, labels = random_case(1)
    single = AtmOutput(output.masks.detach().float() * 4, output.classes.detach().float())
    double = AtmOutput(single.masks.double(), single.classes.double())
    ours = criterion()([single], labels)
    theirs = atm_losses(single.masks, single.classes, labels)
    exact = atm_losses(double.masks, double.classes, labels)
    for name in ("focal", "dice"):
        assert (ours[name] - exact[name]).abs() <= (theirs[name] - exact[name]).abs() + 1e-6


def test_terms_are_weighted_and_add_up_over_the_heads():
    (first, labels), (second, _) = random_case(2), random_case(3)
    apart = [criterion()([output], labels) for output in (first, second)]
    both = AtmCriterion(num_classes=K)([first, second], labels)
    for name, weight in {"class": 1.0, "focal": 20.0, "dice": 1.0}.items():
        expected = weight * (apart[0][name] + apart[1][name])
        torch.testing.assert_close(both[name], expected)


def test_chunks_do_not_change_the_losses(monkeypatch):
    output, labels = random_case(4)
    present = present_classes(labels, K)
    masks = output.masks[None]
    whole = mask_losses(masks, labels, present)
    (gradient,) = torch.autograd.grad(sum(whole[0].flatten() + whole[1].flatten()), masks)
    monkeypatch.setattr("segsuite.methods.segvit.mask_losses._CHUNK_CPU", 2 * SIZE[0] * SIZE[1])
    parts = mask_losses(masks, labels, present)
    (same,) = torch.autograd.grad(sum(parts[0].flatten() + parts[1].flatten()), masks)
    torch.testing.assert_close(torch.stack(parts), torch.stack(whole), rtol=1e-12, atol=0)
    torch.testing.assert_close(same, gradient, rtol=1e-12, atol=1e-15)


def test_a_batch_without_any_label_gives_zero_and_a_gradient():
    output, labels = random_case(5)
    terms = criterion()([output], torch.full_like(labels, IGNORE))
    assert terms["focal"] == terms["dice"] == 0
    (gradient,) = torch.autograd.grad(sum(terms.values()), output.masks)
    assert not gradient.any()


def test_a_image_that_is_all_ignored_adds_nothing_to_the_masks():
    output, labels = random_case(6)
    labels[1] = IGNORE
    terms = criterion()([output], labels)
    (gradient,) = torch.autograd.grad(terms["focal"] + terms["dice"], output.masks)
    assert not gradient[1].any() and gradient[0].any()


@pytest.mark.parametrize("leave_ignored", [False, True])
def test_extreme_logits_stay_finite(leave_ignored):
    output, labels = random_case(7, kind=torch.float)
    extreme = AtmOutput(output.masks.detach().mul(1e4).requires_grad_(), output.classes)
    terms = criterion(mask_ignore=leave_ignored)([extreme], labels)
    (gradient,) = torch.autograd.grad(terms["focal"] + terms["dice"], extreme.masks)
    assert terms["focal"].isfinite() and terms["dice"].isfinite() and gradient.isfinite().all()


def test_half_precision_under_autocast_is_raised_to_single():
    output, labels = random_case(8, kind=torch.float)
    half = AtmOutput(output.masks.bfloat16(), output.classes.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        terms = criterion()([half], labels)
        expected = atm_losses(half.masks.float(), half.classes.float(), labels)
    sum(terms.values()).backward()
    torch.testing.assert_close(terms["focal"], expected["focal"], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["dice"], expected["dice"], rtol=1e-4, atol=1e-6)
    assert output.masks.grad.isfinite().all()


def test_present_classes():
    labels = torch.tensor([[[0, 0], [2, IGNORE]], [[IGNORE, IGNORE], [IGNORE, IGNORE]]])
    assert present_classes(labels, 3).tolist() == [[True, False, True], [False, False, False]]


def test_the_number_of_masks_is_the_mean_over_processes(tmp_path):
    """Two processes: the mean of their losses is the loss of both batches together."""
    if not torch.distributed.is_gloo_available():
        pytest.skip("gloo is not built in")
    multiprocessing.spawn(_worker, args=(str(tmp_path),), nprocs=2)
    apart = torch.stack([torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]).mean(0)
    outputs, labels = zip(*[random_case(10 + rank) for rank in range(2)], strict=True)
    together = AtmOutput(
        torch.cat([output.masks for output in outputs]),
        torch.cat([output.classes for output in outputs]),
    )
    terms = criterion()([together], torch.cat(labels))
    torch.testing.assert_close(apart, torch.stack([terms["focal"], terms["dice"]]).detach())


def _worker(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    output, labels = random_case(10 + rank)
    terms = criterion()([output], labels)
    torch.save(torch.stack([terms["focal"], terms["dice"]]).detach(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()
