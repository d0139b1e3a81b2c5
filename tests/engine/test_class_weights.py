"""Class weights: what may be given, and what is counted in the training data."""

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.data.samples import Facts
from segsuite.engine import class_weights
from segsuite.engine.class_weights import settle_class_weights
from segsuite.nn.class_weights import ClassWeights
from segsuite.nn.dense_losses import dice_loss
from segsuite.nn.pixel_loss import PixelCrossEntropy
from segsuite.nn.predictions import StridedPrediction
from tests.reference.weighted_losses import dice, weighted_mean


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1.0, -2.0], "the weight of class 1 is -2.0; expected is a number of at least 0"),
        ([1.0, float("nan")], "the weight of class 1 is nan"),
        ([10**400, 1.0], "the weight of class 0 is 1000"),
        ([1.0, 1e39], "the weight of class 1 is 1e+39"),
        ([float("inf"), 1.0], "the weight of class 0 is inf"),
        ([0.0, 0.0], "all weights are 0"),
        ([True, 1.0], "the weight of class 0 is True"),
        ([], "is no list of weights"),
        (3, "is no list of weights"),
        (True, "is no list of weights"),
        ("median-frequency", "did you mean `median_frequency`?"),
        ("nowhere.json", "there is no such file; there is also median_frequency"),
    ],
)
def test_what_cannot_be_weights_is_refused(given, said):
    with pytest.raises(ConfigError) as caught:
        ClassWeights(given).of(2)
    assert said in str(caught.value) and "method.loss.class_weights" in str(caught.value)


def test_a_file_holds_a_list(tmp_path):
    file = tmp_path / "class_weights.json"
    file.write_text(json.dumps([0.5, 2, 0]))
    assert ClassWeights(str(file)).of(3).tolist() == [0.5, 2.0, 0.0]
    for text, said in (
        ("{}", "is no list"),
        ("[1, 'x']", "cannot be read as JSON"),
        ("[1", "JSON"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=said):
            ClassWeights(str(file)).of(3)


class Drawn:
    """Two samples of 100 pixels: class 0 in both, class 1 in one of them."""

    gaps, ids, key = (), ("a", "b"), "drawn"

    def __len__(self):
        return 2

    def files(self, index):
        return ()

    def inspect(self, index):
        return Facts((10, 10), (10, 10), [{0: 90, 1: 10}, {0: 100}][index])


def data(classes=3):
    from segsuite.data.class_table import ClassTable, distinct_colors

    names = tuple("abc"[:classes])
    table = ClassTable(names=names, colors=distinct_colors(classes), ids=tuple(range(classes)))
    return SimpleNamespace(samples=lambda split: Drawn(), classes=table)


def test_median_frequencies_are_counted_before_training(caplog):
    """Shares where they occur are 190 / 200 and 10 / 100, the median of both 0.525."""
    task = nn.ModuleDict({"loss": PixelCrossEntropy(class_weights="median_frequency")})
    with pytest.raises(ConfigError, match="is counted in the training data, and there are none"):
        task["loss"].class_weights.of(3)
    with caplog.at_level(logging.INFO, logger=class_weights.__name__):
        settle_class_weights(task, data())
    found = task["loss"].class_weights.of(3)
    torch.testing.assert_close(found, torch.tensor([0.525 / 0.95, 0.525 / 0.1, 0.0]))
    (line,) = caplog.messages
    assert line.endswith("0.553 (a) to 5.25 (b)")


def test_classes_that_were_not_drawn_are_not_left_out(monkeypatch):
    """Data that are drawn are looked at in part; what is rarer than that has the highest weight."""
    monkeypatch.setattr(Drawn, "__len__", lambda self: 1000)
    monkeypatch.setattr(Drawn, "inspect", lambda self, _: Facts((10, 10), (10, 10), {0: 90, 1: 10}))
    task = nn.ModuleDict({"loss": PixelCrossEntropy(class_weights="median_frequency")})
    settle_class_weights(task, data())
    found = task["loss"].class_weights.of(3)
    torch.testing.assert_close(found, torch.tensor([0.5 / 0.9, 5.0, 5.0]))


def test_another_number_of_weights_than_of_classes_is_found_before_training():
    task = nn.ModuleDict({"loss": PixelCrossEntropy(class_weights=[1.0, 2.0])})
    with pytest.raises(ConfigError, match="has 2 numbers, but the data have 3 classes"):
        settle_class_weights(task, data())


@pytest.mark.parametrize("ohem", [None, 0.3])
@pytest.mark.parametrize("weights", [None, [0.5, 4.0, 0.0, 1.0]])
def test_the_mobile_familys_loss_is_that_of_the_formulas(weights, ohem):
    random = torch.Generator().manual_seed(0)
    grid = torch.randn(2, 4, 5, 4, generator=random).mul(3).requires_grad_()
    labels = torch.randint(-1, 4, (2, 5, 4), generator=random)
    loss = PixelCrossEntropy(class_weights=weights, dice=0.5, ohem=ohem, ohem_kept=0.25)
    found = loss(StridedPrediction(grid, seen=(5, 4), stride=1), labels)
    flat = grid.double().permute(0, 2, 3, 1).flatten(0, 2)
    own = None if weights is None else torch.tensor(weights)
    expected = {
        "ce": weighted_mean(flat, labels.flatten(), own, probability=ohem, share=0.25),
        "dice": 0.5 * dice(flat, labels.flatten(), own),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)
        (mine,) = torch.autograd.grad(found[name], grid, retain_graph=True)
        (theirs,) = torch.autograd.grad(value, grid, retain_graph=True)
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("given", ["median_frequency", "gone.json"])
def test_a_checkpoint_is_evaluated_without_what_its_weights_came_from(given):
    """No training image is looked at, and the file may be on another machine."""
    from segsuite.engine.launch.entry_point import compose
    from segsuite.engine.launch.run import Run
    from segsuite.engine.training import make_task

    typed = ["experiment=mobile_basic_coco9", "data=scenes", "method.backbone.weights=none"]
    typed += [f"method.loss.class_weights={given}", "data.crop_size=[64,64]"]
    cfg = compose("train", typed)
    network = nn.Identity()
    network.num_classes, network.size_divisor = 19, 32
    task = make_task(Run(cfg), network, SimpleNamespace(classes=data().classes))
    with pytest.raises(ConfigError, match=f"class_weights={given}"):
        settle_class_weights(task, SimpleNamespace(classes=data().classes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dice_is_summed_in_float32_under_autocast(dtype):
    """The 90,000 pixels of a class are more than float16 has numbers for."""
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 2, 300, 300, generator=random) + torch.tensor([9.0, 0.0])[:, None, None]
    labels = torch.zeros(1, 300, 300, dtype=torch.long)
    expected = dice_loss(scores, labels)
    with torch.autocast("cpu", dtype=dtype):
        found = dice_loss(scores, labels)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
