"""Which validation images are drawn during training."""

from types import SimpleNamespace

import pytest

from segsuite.engine.callbacks import pictures
from segsuite.engine.callbacks.pictures import Pictures, spread


@pytest.mark.parametrize(
    ("count", "batches", "batch_size", "chosen"),
    [
        (4, 101, 1, {12, 37, 63, 88}),
        (4, 26, 4, {12, 37, 63, 88}),  # the same ones, whatever the batches
        (3, 1, 9, {1, 4, 7}),
        (1, 3, 2, {2}),
        (4, 2, 2, {0, 1, 2, 3}),  # fewer than asked for: all
        (4, float("inf"), 2, {0, 1, 2, 3}),
        (0, 5, 2, set()),
    ],
)
def test_pictures_are_spread_evenly_over_the_images(count, batches, batch_size, chosen):
    assert spread(count, batches, batch_size) == chosen


@pytest.mark.parametrize("first_process", [True, False])
def test_every_validation_draws_the_same_ones_on_the_first_process(monkeypatch, first_process):
    drawn = []
    monkeypatch.setattr(pictures, "draw", lambda task, batch, index, path: drawn.append(path.name))
    monkeypatch.setattr(pictures, "log_picture", lambda *_: None)
    images = [f"img{number}" for number in range(11)]
    batches = [images[i : i + 2] for i in range(0, 11, 2)]
    trainer = SimpleNamespace(
        is_global_zero=first_process,
        state=SimpleNamespace(fn="fit"),
        num_val_batches=[len(batches)],
        global_step=5,
    )
    callback = Pictures(folder="pictures", count=3)
    for _ in range(2):
        callback.on_validation_start(trainer, None)
        for number, batch in enumerate(batches):
            callback.on_validation_batch_end(trainer, None, None, {"id": batch}, number)
    expected = [f"0000005_img{number}.png" for number in (1, 5, 9)]
    assert drawn == (expected * 2 if first_process else [])
