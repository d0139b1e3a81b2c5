import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.engine.inference.framing import with_labels_resized
from segsuite.engine.inference.modes import MultiScale, Slide, Whole
from segsuite.ops.bilinear import resized
from tests.reference.slide_loops import slide_by_loops
from tests.toy import ToySegmenter

SIZES = [(32, 48), (37, 50), (32, 48), (20, 30)]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ToySegmenter(num_classes=5).eval()


@pytest.fixture(scope="module")
def images():
    random = torch.Generator().manual_seed(1)
    return [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=random) for size in SIZES
    ]


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def alone(network, image):
    """Scores of one image, padded by hand."""
    height, width = image.shape[-2:]
    padded = torch.full((3, -(-height // 8) * 8, -(-width // 8) * 8), 127.5)
    padded[:, :height, :width] = image
    return network.predict(padded[None]).scores(padded.shape[-2:])[0, :, :height, :width]


@pytest.mark.parametrize("batch", [1, 8])
def test_whole_pads_and_crops_exactly_whatever_the_batch(network, images, batch):
    whole = Whole(batch=batch)
    scores, labels = whole.evidence(network, images, SIZES), whole.labels(network, images, SIZES)
    for image, found, map_ in zip(images, scores, labels, strict=True):
        expected = alone(network, image)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
        assert (map_ != expected.argmax(0)).float().mean() < 1e-3  # but for ties


def test_whole_answers_at_the_size_asked_for(network, images):
    (labels,) = Whole().labels(network, images[:1], [(64, 96)])
    expected = F.interpolate(network(images[0][None]).softmax(1), (64, 96), mode="bilinear")
    assert (labels != expected.argmax(1)[0]).float().mean() < 1e-3


@pytest.mark.parametrize("stride", [(16, 24), (10, 17)])
@pytest.mark.parametrize("batch", [1, 5])
def test_slide_is_the_loop_over_windows(network, images, stride, batch):
    big = [image for image in images if image.shape[-2] >= 24]
    slide = Slide(window=(24, 32), stride=stride, batch=batch)
    found = slide.evidence(network, big, [tuple(image.shape[-2:]) for image in big])
    for image, scores in zip(big, found, strict=True):
        expected = slide_by_loops(network, image, (24, 32), stride)
        torch.testing.assert_close(scores, expected, atol=1e-6, rtol=1e-5)


def test_slide_pads_images_smaller_than_its_window(network, images):
    slide = Slide(window=(32, 48), stride=(32, 48))
    (small,) = slide.evidence(network, images[3:], [SIZES[3]])
    padded = torch.full((3, 32, 48), 127.5)
    padded[:, :20, :30] = images[3]
    expected = network.predict(padded[None]).scores((32, 48))[0, :, :20, :30]
    torch.testing.assert_close(small, expected)


def test_slide_with_one_window_is_whole(network, images):
    slide, size = Slide(window=(32, 48), stride=(16, 16)), SIZES[:1]
    (labels,) = slide.labels(network, images[:1], size)
    assert torch.equal(labels, Whole().evidence(network, images[:1], size)[0].argmax(0))


def test_slide_says_what_is_wrong_with_its_window(network, images):
    with pytest.raises(ConfigError, match=r"inference\.window.*multiples of 8"):
        Slide(window=(20, 20), stride=(8, 8)).labels(network, images, SIZES)
    with pytest.raises(ConfigError, match=r"inference\.stride"):
        Slide(window=(16, 16), stride=(24, 16))


def test_multiscale_at_scale_one_is_its_base(network, images):
    multi = MultiScale(scales=[1.0], flip=False, base=Whole())
    for one, two in zip(
        multi.evidence(network, images, SIZES),
        Whole().evidence(network, images, SIZES),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_flip_averages_the_mirror_image(network, images):
    multi = MultiScale(scales=[1.0], flip=True, base=Whole())
    (found,) = multi.evidence(network, images[:1], SIZES[:1])
    mirrored = alone(network, images[0].flip(-1)).flip(-1)
    expected = (alone(network, images[0]) + mirrored) / 2
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(mirrored, alone(network, images[0]), atol=1e-3)


def test_multiscale_weighs_all_scales_alike(network, images):
    at = {
        scale: MultiScale(scales=[scale], flip=False, base=Whole()).evidence(network, images, SIZES)
        for scale in (0.5, 2.0)
    }
    both = MultiScale(scales=[0.5, 2.0], flip=False, base=Whole()).evidence(network, images, SIZES)
    for i in range(len(images)):
        torch.testing.assert_close(both[i], (at[0.5][i] + at[2.0][i]) / 2)


def test_watchers_hear_of_every_image_once(network, images):
    heard = []
    Whole(batch=2).labels(network, images, SIZES, watch=lambda _, members: heard.extend(members))
    assert sorted(heard) == [0, 1, 2, 3]


def test_channels_beyond_colour_are_padded_as_ignored():
    class Echo(ToySegmenter):
        def predict(self, images):
            self.seen = images
            return super().predict(images[:, :3])

    echo, image = Echo(num_classes=2).eval(), torch.zeros(4, 20, 30)
    Whole().labels(echo, [image], [(20, 30)])
    assert echo.seen.shape == (1, 4, 24, 32)
    assert echo.seen[0, :, 23, 31].tolist() == [127.5, 127.5, 127.5, -1]


def test_labels_beyond_colour_are_resized_without_being_mixed():
    image = torch.cat([torch.rand(3, 20, 30) * 255, torch.randint(0, 2, (1, 20, 30)) * 100.0])
    larger = with_labels_resized(image, (31, 47))
    assert larger.shape == (4, 31, 47)
    assert set(larger[3].unique().tolist()) == {0.0, 100.0}
    assert torch.equal(larger[:3], resized(image[None, :3], (31, 47))[0])


WAYS = {
    "whole": Whole(batch=2),
    "slide": Slide(window=(16, 24), stride=(8, 16), batch=5),
    "multiscale": MultiScale(scales=[1.0, 2.0], flip=True, base=Whole()),
}


@pytest.mark.parametrize("way", WAYS)
def test_evidence_in_turn_is_that_of_each_image_alone(network, images, way):
    found = dict(WAYS[way].in_turn(network, images, SIZES))
    for index, (image, size) in enumerate(zip(images, SIZES, strict=True)):
        (expected,) = WAYS[way].evidence(network, [image], [size])
        torch.testing.assert_close(found.pop(index), expected, atol=1e-6, rtol=1e-5)
    assert not found


def test_images_of_one_size_go_through_together_and_are_taken_in_turn(network, images, monkeypatch):
    sizes, predict = [], network.predict
    monkeypatch.setattr(network, "predict", lambda x: (sizes.append(len(x)), predict(x))[1])
    turn = Whole().in_turn(network, images, SIZES)
    assert [next(turn)[0], next(turn)[0]] == [0, 2] and sizes == [2]
    assert [index for index, _ in turn] == [1, 3] and sizes == [2, 1, 1]
