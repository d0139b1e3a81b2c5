"""Windows averaged block by block: the sums of one piece, in memory that does not grow."""

import weakref

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from segsuite.engine.inference import modes, windows
from segsuite.engine.inference.modes import Slide, decided
from tests.reference.slide_loops import slide_by_loops
from tests.toy import ToySegmenter

WINDOW = (24, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ToySegmenter(num_classes=7).eval()


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def noise(*sizes):
    random = torch.Generator().manual_seed(1)
    return [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=random) for size in sizes
    ]


@pytest.mark.parametrize("held", [0, 2**24], ids=["made twice", "held"])
@pytest.mark.parametrize("stride", [(16, 21), (24, 32), (7, 9)])
def test_blocks_are_the_accumulation_in_one_piece_to_the_last_bit(
    network, stride, held, monkeypatch
):
    monkeypatch.setattr(windows, "_HELD", held)
    images = noise((61, 95), (24, 33), (25, 32))
    sizes = [tuple(image.shape[-2:]) for image in images]
    slide = Slide(window=WINDOW, stride=stride, batch=1)
    scores, labels = (f(network, images, sizes) for f in (slide.evidence, slide.labels))
    for image, one, map_ in zip(images, scores, labels, strict=True):
        expected = slide_by_loops(network, image, WINDOW, stride)
        assert torch.equal(one, expected)
        assert torch.equal(map_, expected.max(dim=0).indices) and map_.dtype == torch.int64


def test_labels_of_another_size_are_those_of_the_upsampled_average(network):
    images, slide = noise((61, 95), (40, 33)), Slide(window=WINDOW, stride=(16, 21))
    sizes = [(122, 190), (40, 33)]
    labels = slide.labels(network, images, sizes, dtype=torch.int16)
    for image, size, map_ in zip(images, sizes, labels, strict=True):
        average = slide_by_loops(network, image, WINDOW, (16, 21))[None]
        upsampled = torch.nn.functional.interpolate(average, size, mode="bilinear")
        assert map_.dtype == torch.int16 and map_.shape == size
        assert (map_ != upsampled.argmax(1)[0]).float().mean() < 1e-3  # but for ties


class Largest(TorchDispatchMode):
    """Numbers of the largest tensor of floats that anything made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.is_floating_point():
            self.numbers = max(self.numbers, made.untyped_storage().nbytes() // made.itemsize)
        return made


@pytest.mark.parametrize("side", [120, 360])
def test_memory_is_that_of_windows_whatever_the_image(network, side, monkeypatch):
    monkeypatch.setattr(windows, "_HELD", 0)
    alive, most = weakref.WeakSet(), 0
    predict = network.predict

    class Counted:
        def __init__(self, prediction):
            self.scores, self.of = prediction.scores, lambda n: Counted(prediction.of(n))
            nonlocal most
            alive.add(self)
            most = max(most, len(alive))

    monkeypatch.setattr(network, "predict", lambda images: Counted(predict(images)))
    with Largest() as largest:
        Slide(window=WINDOW, stride=(16, 21), batch=2).labels(
            network, noise((side, 64)), [(side, 64)]
        )
    assert largest.numbers <= 2 * network.num_classes * 24 * 32, "the evidence of two windows"
    rows = -(-(side - 24) // 16) + 1
    assert most <= rows + 6, "one column of windows, and a batch"


def test_large_answers_are_decided_some_rows_at_a_time(network, monkeypatch):
    evidence = torch.rand(7, 13, 17, generator=torch.Generator().manual_seed(2))
    whole = decided(network, evidence, (101, 67))
    monkeypatch.setattr(modes, "_AT_ONCE", 1000)
    with Largest() as largest:
        rows = decided(network, evidence, (101, 67), dtype=torch.int16)
    assert rows.dtype == torch.int16 and (rows != whole).float().mean() < 1e-3  # but for ties
    assert largest.numbers < 7 * 13 * 67
