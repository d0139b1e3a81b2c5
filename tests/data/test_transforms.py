from collections.abc import Callable

import numpy as np
import pytest
import torch

from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.core.seeding import stream
from segsuite.core.sizes import Size
from segsuite.data.samples import Sample
from segsuite.data.transforms import (
    AsItIs,
    FitWithin,
    PhotometricDistortion,
    ResizeTo,
    ScaleCropFlip,
)
from segsuite.data.transforms.geometry import (
    Window,
    fitted,
    resized_crop,
    resized_ids,
    resized_image,
)
from segsuite.data.transforms.photometric import recoloured
from segsuite.data.transforms.pixels import of_rows, rows_of
from segsuite.engine.launch.entry_point import compose
from tests.data.layouts import sample
from tests.reference.data_transforms import (
    cropped_after_resizing,
    distorted,
    hsv_changed,
    nearest_by_pil,
    too_uniform,
)

WINDOWS = [
    Window(0, 0, (30, 44), (30, 44)),
    Window(5, 9, (20, 25), (60, 88)),
    Window(2, 3, (10, 11), (17, 23)),
    Window(31, 50, (29, 38), (60, 88)),
]


@pytest.mark.parametrize("resized", [resized_image, resized_crop])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_resized_window_is_the_window_of_the_resized_image(
    window: Window, resized: Callable[[torch.Tensor, Window], torch.Tensor]
) -> None:
    image = sample((30, 44)).image
    reference = cropped_after_resizing(image, window.full, window.top, window.left, window.size)
    for stored in (image, of_rows(rows_of(image))):  # in either order of the memory
        got = resized(stored, window).permute(1, 2, 0).numpy().astype(int)
        assert got.shape == reference.shape
        assert np.abs(got - reference).max() <= 1  # PIL rounds its weights anew for each window


@pytest.mark.parametrize("size", [(180, 240), (250, 333), (359, 479), (401, 510), (700, 900)])
def test_a_crop_of_a_smooth_image_is_that_of_the_resized_one(size: Size) -> None:
    """At the sizes of photographs, where single precision could lose the place."""
    rows, columns = torch.meshgrid(torch.arange(360.0), torch.arange(480.0), indexing="ij")
    waves = [rows / 7, columns / 5, (rows + columns) / 9]
    image = torch.stack([127.5 + 127 * wave.sin() for wave in waves]).round().to(torch.uint8)
    corner = [max(side - 170, 0) for side in size]
    window = Window(*corner, (170, 170), size)
    got = resized_crop(image, window).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(got - cropped_after_resizing(image, size, *corner, (170, 170))).max() <= 1


@pytest.mark.parametrize("window", WINDOWS)
def test_labels_are_those_of_the_nearest_pixel(window: Window) -> None:
    ids = torch.arange(30 * 44).reshape(30, 44) % 251
    reference = nearest_by_pil(ids, window.full, window.top, window.left, window.size)
    assert (resized_ids(ids, window).numpy() == reference).all()


def test_fitting_keeps_shape_and_both_limits() -> None:
    assert fitted((480, 640), 2048, 512) == (512, 683)
    assert fitted((100, 1000), 2048, 512) == (205, 2048)
    assert fitted((683, 512), 2048, 512) == (683, 512)
    assert fitted((1, 4000), 40, 40) == (1, 40)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.5, 40.0])
@pytest.mark.parametrize("turn", [-18.0, 0.0, 7.5, 18.0, 59.0, -70.0, 90.0])
def test_colours_change_as_through_hsv(factor: float, turn: float) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (40, 10, 3), generator=generator).float()
    pixels[:, :5] = pixels[:, :5, :1]  # greys
    pixels[:, 5] = 0
    got = recoloured(pixels.numpy(), saturation=factor, turn=turn, value=0.9).reshape(-1, 3)
    wanted = [hsv_changed(tuple(p), factor, turn) for p in pixels.reshape(-1, 3).tolist()]
    assert np.abs(got - 0.9 * np.array(wanted)).max() < 1e-3


def test_distortion_is_mmsegs_step_by_step() -> None:
    image = sample((5, 6)).image
    for number in range(60):
        got = PhotometricDistortion()(image, stream(0, number)).double()
        assert (got - distorted(image, stream(0, number))).abs().max() <= 0.501, number


def test_distortion_depends_on_the_generator_alone() -> None:
    image = sample((20, 30)).image
    distort = PhotometricDistortion()
    results = [distort(image, stream(0, number)) for number in (3, 3, 4, 5, 6, 7)]
    assert torch.equal(results[0], results[1])
    assert any(not torch.equal(results[0], other) for other in results[2:])
    assert all(r.dtype == torch.uint8 and r.shape == image.shape for r in results)


def test_each_distortion_comes_half_the_time_and_nothing_a_sixteenth() -> None:
    image = sample((4, 5)).image
    distort = PhotometricDistortion()
    draws = 800
    untouched = sum(torch.equal(distort(image, stream(1, n)), image) for n in range(draws))
    assert 0.03 < untouched / draws < 0.10


def test_training_samples_have_the_crop_size_and_known_labels() -> None:
    transform = ScaleCropFlip(crop_size=[24, 32], photometric=PhotometricDistortion())
    for number in range(40):
        stored = sample((20 + number, 60 - number), number)
        got = transform(stored, stream(number))
        assert got.image.shape == (3, 24, 32) and got.image.dtype == torch.uint8
        assert got.label.shape == (24, 32) and got.label.dtype == stored.label.dtype
        assert got.image.is_contiguous() and got.label.min() >= IGNORE and got.label.max() < 11


def test_image_label_and_instances_move_together() -> None:
    """An image whose grey tells its label keeps telling it under every scale, crop and flip."""
    blocks = torch.randint(0, 8, (6, 8), generator=torch.Generator().manual_seed(0))
    label = blocks.repeat_interleave(16, 0).repeat_interleave(16, 1)
    image = (label * 30).to(torch.uint8).expand(3, -1, -1).contiguous()
    stored = Sample("a", image, label.short(), label.int() + 1)
    transform = ScaleCropFlip(crop_size=[64, 64], pad_value=(255, 255, 255))
    mirrored = 0
    for number in range(20):
        got = transform(stored, stream(7, number))
        real = got.label != IGNORE
        told = torch.round(got.image[0].float() / 30).long()
        assert (told == got.label)[real].float().mean() > 0.8  # all but blended block edges
        assert torch.equal(got.instances[real] - 1, got.label[real].int())
        assert (got.instances[~real] == 0).all() and (got.image[:, ~real] == 255).all()
        mirrored += not torch.equal(
            got.label, ScaleCropFlip(crop_size=[64, 64], flip=0)(stored, stream(7, number)).label
        )
    assert 3 < mirrored < 17


def test_small_images_are_padded_below_and_to_the_right() -> None:
    stored = sample((10, 12))
    transform = ScaleCropFlip(
        crop_size=[16, 20], ratio_range=[1, 1], flip=0, pad_value=(1, 2, 3), cat_max_ratio=1
    )
    got = transform(stored, stream(0))
    assert torch.equal(got.image[:, :10, :12], stored.image)
    assert torch.equal(got.label[:10, :12], stored.label)
    assert (got.label[10:] == IGNORE).all() and (got.label[:, 12:] == IGNORE).all()
    assert got.image[:, 15, 19].tolist() == [1, 2, 3]


def test_scales_span_the_ratio_range() -> None:
    transform = ScaleCropFlip(crop_size=[64, 64], ratio_range=[0.5, 2.0], fit=[256, 64])
    stored = sample((48, 64))
    heights = []
    for number in range(60):
        label = transform(stored, stream(2, number)).label
        heights.append(int((label != IGNORE).any(1).sum()))
    assert 32 <= min(heights) < 38 and max(heights) == 64
    assert sum(height < 64 for height in heights) < 40  # two thirds of the range magnify


def test_scales_may_be_drawn_in_steps() -> None:
    transform = ScaleCropFlip(
        crop_size=[96, 128], ratio_range=[0.5, 2.0], ratio_step=0.25, cat_max_ratio=1
    )
    stored = sample((48, 64))
    heights = [
        int((transform(stored, stream(2, number)).label != IGNORE).any(1).sum())
        for number in range(140)
    ]
    assert set(heights) == {24, 36, 48, 60, 72, 84, 96}
    assert all(heights.count(height) > 8 for height in set(heights))
    for step, scales in ((0.4, {24, 43, 62, 82}), (0.7, {24, 58, 91}), (9, {24})):
        transform.ratio_step = step  # 96, twice the height, is never passed
        drawn = [transform._scaled_size((48, 64), stream(2, number))[0] for number in range(60)]
        assert set(drawn) == scales, step
    transform.ratio_range, transform.ratio_step = (0.1, 0.4), 0.1
    drawn = [transform._scaled_size((100, 100), stream(2, number))[0] for number in range(60)]
    assert set(drawn) == {10, 20, 30, 40}


@pytest.mark.parametrize("side", [960, 700])
def test_the_longest_side_is_not_scaled(side: int) -> None:
    transform = ScaleCropFlip(
        crop_size=[64, 64], ratio_range=[0.5, 1.5], ratio_step=0.1, fit=[1920, 640], longest=side
    )

    def sizes(stored: Size) -> set[Size]:
        return {transform._scaled_size(stored, stream(5, number)) for number in range(150)}

    for stored in ((480, 640), (640, 480), (300, 900), (500, 500)):
        shares = [64 * step / min(stored) for step in range(5, 16)]
        shares = [min(share, side / max(stored)) for share in shares]
        wanted = {(int(stored[0] * s + 0.5), int(stored[1] * s + 0.5)) for s in shares}
        assert sizes(stored) == wanted and max(map(max, wanted)) <= side
    if side == 960:
        assert (720, 960) in sizes((480, 640)) and (320, 427) in sizes((480, 640))
    transform.fit = None
    assert max(sizes((480, 640)))[1] == min(side, 960)
    transform.warp = (500, 1000)
    assert max(sizes((480, 640))) == (side // 2, side)


def test_coco_panoptic_is_scaled_as_the_paper_has_it() -> None:
    """specs/hyctas.md, section 5: the shorter side 320, 384, ... 960, the longer at most 960."""
    data = compose("train", ["experiment=hyctas_l_coco_panoptic"]).data
    transform = build(data.train_transform, path="data.train_transform")
    drawn = {transform._scaled_size((480, 640), stream(6, number)) for number in range(150)}
    assert sorted(height for height, _ in drawn) == [*range(320, 705, 64), 720]
    drawn = {transform._scaled_size((300, 900), stream(6, number)) for number in range(150)}
    assert drawn == {(320, 960)}, "at every scale"


def test_a_limit_of_no_pixels_is_refused() -> None:
    target = {"_target_": "segsuite.data.transforms.ScaleCropFlip", "crop_size": [8, 8]}
    for typed in (0, 9.5, [960, 640]):
        with pytest.raises(ConfigError, match="longest"):
            build({**target, "longest": typed}, path="data.train_transform")


def test_uniform_crops_are_drawn_again() -> None:
    label = torch.zeros(64, 64, dtype=torch.int16)
    label[:, 48:] = 1
    label[:8] = IGNORE
    stored = Sample("a", torch.zeros(3, 64, 64, dtype=torch.uint8), label)
    uniform = {}
    for ratio in (0.75, 1.0):
        transform = ScaleCropFlip(crop_size=[24, 24], ratio_range=[1, 1], cat_max_ratio=ratio)
        crops = [transform(stored, stream(3, n)).label.numpy() for n in range(60)]
        uniform[ratio] = sum(too_uniform(crop, 0.75, IGNORE) for crop in crops)
    assert uniform[1.0] > 30
    assert uniform[0.75] < uniform[1.0] / 3


def test_the_crop_test_is_that_of_mmseg() -> None:
    transform = ScaleCropFlip(crop_size=[8, 8])
    generator = np.random.default_rng(0)
    verdicts = set()
    for _ in range(200):
        classes = generator.integers(1, 4)
        label = generator.choice(classes + 1, (6, 6), p=generator.dirichlet([0.4] * (classes + 1)))
        label = (label - 1).astype(np.int16)
        varied = transform._is_varied(torch.from_numpy(label)) if (label >= 0).any() else False
        assert varied != too_uniform(label, 0.75, IGNORE) if (label >= 0).any() else not varied
        verdicts.add(bool(varied))
    assert verdicts == {True, False}


def test_a_sample_without_any_label_is_allowed() -> None:
    stored = Sample(
        "a", torch.zeros(3, 20, 20, dtype=torch.uint8), torch.full((20, 20), -1, dtype=torch.int16)
    )
    got = ScaleCropFlip(crop_size=[16, 16])(stored, stream(0))
    assert (got.label == IGNORE).all()


def test_evaluation_transforms_give_their_sizes() -> None:
    image = sample((30, 40)).image
    assert torch.equal(AsItIs()(image), image)
    assert FitWithin(long=200, short=60)(image).shape == (3, 60, 80)
    assert FitWithin(long=60, short=60)(image).shape == (3, 45, 60)
    assert ResizeTo(size=[16, 48])(image).shape == (3, 16, 48)
    assert all(f(image).is_contiguous() for f in (AsItIs(), FitWithin(long=60, short=60)))
