"""Panoptic evidence: what flips, scales and grouping make of it; and the loss by hand."""

import pytest
import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.engine.inference.modes import MultiScale, Slide, Whole
from segsuite.nn.grouping import Grouping
from segsuite.nn.panoptic import PanopticPrediction, PanopticSegmenter, in_pixels
from segsuite.nn.panoptic_loss import PanopticLoss
from segsuite.nn.predictions import GridPrediction
from segsuite.ops.panoptic_targets import panoptic_targets

SIZE, THINGS = (48, 96), (1, 2)


def truth() -> tuple[Tensor, Tensor]:
    """Stuff 0 with two instances of class 1 beside each other and one of class 2; a void corner."""
    labels, instances = torch.zeros(1, *SIZE, dtype=torch.int64), torch.zeros(1, *SIZE).int()
    for number, (class_, box) in enumerate(
        [(1, (8, 24, 8, 24)), (1, (8, 24, 24, 40)), (2, (20, 40, 60, 90))], start=1
    ):
        top, bottom, left, right = box
        labels[:, top:bottom, left:right] = class_
        instances[:, top:bottom, left:right] = number
    labels[:, -4:, :4] = -1
    return labels, instances


class Knowing(PanopticSegmenter):
    """Reads the truth, which is painted into its images: red the class, green the instance."""

    num_classes, size_divisor, pad_value = 3, 1, (0.0, 0.0, 0.0)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> PanopticPrediction:
        labels, instances = images[:, 0].round().long(), images[:, 1].round().int()
        targets = panoptic_targets(labels, instances, things=THINGS, sigma=3)
        scores = nn.functional.one_hot(labels, 3).movedim(-1, 1) * 10.0 + self.weight
        return PanopticPrediction(
            GridPrediction(scores), torch.cat([targets.heat, targets.offsets], 1)
        )

    def predict(self, images: Tensor) -> PanopticPrediction:
        return self(images)


def painted() -> Tensor:
    labels, instances = truth()
    return torch.stack([labels[0].clamp(min=0), instances[0], instances[0]]).float()


@pytest.mark.parametrize(
    "mode",
    [
        Whole(),
        MultiScale(scales=[1.0], flip=True, base=Whole()),
        MultiScale(scales=[1.0, 2.0], flip=True, base=Whole()),
    ],
)
def test_flips_and_scales_leave_instances_where_they_are(mode, monkeypatch):
    """Offsets of a mirrored copy point the other way, of a larger one further."""
    resize = "segsuite.engine.inference.modes.with_labels_resized"
    nearest = lambda image, size: nn.functional.interpolate(image[None], size=size)[0]  # noqa: E731
    monkeypatch.setattr(resize, nearest)  # what is painted must not be blended
    (evidence,) = mode.evidence(Knowing(), [painted()], [SIZE])
    found = Grouping(stuff_area=1)(evidence, THINGS, seen=SIZE)
    labels, instances = truth()
    assert torch.equal(found.labels, labels[0].clamp(min=0))
    pairs = set(zip(found.instances.flatten().tolist(), instances.flatten().tolist(), strict=True))
    assert len(pairs) == 4 and len({one for one, _ in pairs}) == 4  # one to one, and stuff
    assert sorted(found.classes[found.classes >= 0].tolist()) == [1, 1, 2]
    there = found.areas > 0  # a centre between two pixels has two peaks, one of which gets nothing
    assert found.scores[there].min() > 0.9 and sorted(found.areas[there].tolist()) == [
        256,
        256,
        600,
    ]


@pytest.mark.parametrize("mode", [Whole(), MultiScale(scales=[1.0], flip=True, base=Whole())])
def test_evidence_is_resized_and_averaged_in_float32_whatever_autocast_says(mode):
    """In bfloat16 heat has plateaus of equal values, and each is a peak."""

    class Autocast(Knowing):
        def forward(self, images: Tensor) -> PanopticPrediction:
            found = super().forward(images)
            quarter = nn.functional.avg_pool2d(found.places, 4).bfloat16()
            scores = GridPrediction(found.semantic.grid_scores.bfloat16())
            return PanopticPrediction(scores, in_pixels(quarter, SIZE))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        (evidence,) = mode.evidence(Autocast(), [painted()], [SIZE])
    assert evidence.dtype == torch.float32
    heat = evidence[-3][evidence[-3] > 0.1]
    assert (heat != heat.bfloat16()).float().mean() > 0.5


def test_windows_average_offsets_in_pixels():
    mode = Slide(window=(48, 64), stride=(48, 32))
    (evidence,) = mode.evidence(Knowing(), [painted()], [SIZE])
    assert evidence.shape == (6, *SIZE)
    assert evidence[4:, 16, 9].tolist() == pytest.approx([-0.5, 6.5])  # rows 8..23, columns 8..23


def test_offsets_are_in_pixels_of_what_the_network_saw():
    """Labels of twice the size have their centres twice as far."""
    evidence = torch.zeros(4, 8, 8)
    evidence[0] = 1.0
    evidence[1, 4, 4] = 1.0  # the centre
    evidence[3] = (4 - torch.arange(8.0)) / 2  # of an image of half the size
    evidence[2] = ((4 - torch.arange(8.0)) / 2)[:, None]
    found = Grouping(stuff_area=0)(evidence, (0,), seen=(4, 4))
    assert (found.instances == 1).all()
    raw = torch.ones(1, 3, 8, 16)
    assert in_pixels(raw, (32, 64))[0, :, 0, 0].tolist() == [1.0, 4.0, 4.0]
    with pytest.raises(ConfigError, match="odd"):
        Grouping(kernel=4)


class _Answer:
    auxiliary = ()

    def __init__(self, main: PanopticPrediction) -> None:
        self.main = main


def test_the_loss_is_zero_at_the_truth_and_by_hand_beside_it():
    labels, instances = truth()
    targets = panoptic_targets(labels, instances, things=THINGS, sigma=10)
    sure = nn.functional.one_hot(labels.clamp(min=0), 3).movedim(-1, 1) * 100.0
    places = torch.cat([targets.heat, targets.offsets], 1)
    loss = PanopticLoss(small_area=300)
    losses = loss(
        _Answer(PanopticPrediction(GridPrediction(sure), places)), labels, instances, THINGS
    )
    assert all(float(value) == pytest.approx(0, abs=1e-6) for value in losses.values())
    assert set(losses) == {"ce", "centre", "offset"}

    off = places + torch.tensor([0.1, 2.0, -1.0]).view(1, 3, 1, 1)
    flat = PanopticPrediction(GridPrediction(torch.zeros_like(sure)), off)
    losses = loss(_Answer(flat), labels, instances, THINGS)
    assert float(losses["centre"]) == pytest.approx(200 * 0.01, rel=1e-5)
    assert float(losses["offset"]) == pytest.approx(0.01 * 3, rel=1e-5)
    labelled, small = labels.numel() - 16, 2 * 256  # the two of class 1 have 256 pixels each
    expected = torch.tensor(3.0).log() * (labelled + 2 * small) / labelled
    assert float(losses["ce"]) == pytest.approx(float(expected), rel=1e-5)

    hardest = PanopticLoss(ohem=1e-12, ohem_kept=0.05, small_area=300)(
        _Answer(flat), labels, instances, THINGS
    )
    assert float(hardest["ce"]) == pytest.approx(3 * float(torch.tensor(3.0).log()), rel=1e-5)


def test_nothing_to_learn_is_no_loss():
    labels, instances = torch.full((1, 8, 8), -1), torch.zeros(1, 8, 8).int()
    main = PanopticPrediction(
        GridPrediction(torch.zeros(1, 3, 2, 2, requires_grad=True)),
        torch.zeros(1, 3, 2, 2, requires_grad=True),
    )
    answer = _Answer(main)
    answer.auxiliary = (main,)
    losses = PanopticLoss()(answer, labels, instances, THINGS)
    assert set(losses) == {"ce", "centre", "offset", "auxiliary"}
    assert all(float(value) == 0 for value in losses.values())
    sum(losses.values()).backward()
