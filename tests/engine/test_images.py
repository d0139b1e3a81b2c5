"""Which validation images are drawn during training."""

from types import SimpleNamespace

import pytest
import torch

from segsuite.engine.callbacks import images
from segsuite.engine.callbacks.images import PredictionImages, Seen, spread
from segsuite.nn.token_trace import TokenStage, TokenTrace
from tests.toy import toy_classes


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
def test_images_are_spread_evenly_over_the_images(count, batches, batch_size, chosen):
    assert spread(count, batches, batch_size) == chosen


IMAGES = [f"img{number}" for number in range(11)]
BATCHES = [{"id": IMAGES[i : i + 2]} for i in range(0, 11, 2)]


def seen(*_) -> Seen:
    """An image of 4 patches, of which 3 are left."""
    slots = torch.arange(4)[None]
    stages = (TokenStage(after=0, slots=slots), TokenStage(after=2, slots=slots[:, :3]))
    return Seen(
        name="street",
        image=torch.zeros(3, 8, 8),
        truth=torch.tensor([[0, 1], [2, -1]]),
        predicted=torch.tensor([[0, 1], [1, 1]]),
        trace=TokenTrace(grid=(2, 2), patch=4, owner=slots, stages=stages),
        classes=toy_classes(3),
    )


@pytest.fixture
def drawn(monkeypatch):
    """The names of the files that are drawn."""
    names = []

    def draw(seen, path):
        names.append(path.name)
        return ["image", "truth"]

    monkeypatch.setattr(images, "look", seen)
    monkeypatch.setattr(images, "draw", draw)
    return names


def run_of(fn: str, *, first_process: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        is_global_zero=first_process,
        state=SimpleNamespace(fn=fn),
        num_val_batches=[len(BATCHES)],
        num_test_batches=[len(BATCHES)],
        global_step=5,
        loggers=[],
    )


def validate(callback: PredictionImages, trainer: SimpleNamespace) -> None:
    callback.on_validation_start(trainer, None)
    for number, batch in enumerate(BATCHES):
        callback.on_validation_batch_end(trainer, None, None, batch, number)


def evaluate(callback: PredictionImages, trainer: SimpleNamespace) -> None:
    callback.on_test_start(trainer, None)
    for number, batch in enumerate(BATCHES):
        callback.on_test_batch_end(trainer, None, None, batch, number)
    callback.on_test_end(trainer, None)


EXPECTED = [f"0000005_img{number}.png" for number in (1, 5, 9)]


@pytest.mark.parametrize("first_process", [True, False])
def test_every_validation_draws_the_same_ones_on_the_first_process(drawn, first_process):
    callback, trainer = (
        PredictionImages(folder="p", count=3),
        run_of("fit", first_process=first_process),
    )
    for _ in range(2):
        validate(callback, trainer)
    assert drawn == (EXPECTED * 2 if first_process else [])


def test_the_final_evaluation_draws_where_no_validation_did(drawn, tmp_path, capsys):
    callback = PredictionImages(folder="p", count=3)
    callback.on_fit_end(run_of("fit"), None)
    assert capsys.readouterr().out == ""
    evaluate(callback, run_of("test"))
    assert drawn == EXPECTED
    assert capsys.readouterr().out == "image (image, truth): p/0000005_img9.png\n"
    del drawn[:]
    callback = PredictionImages(folder=str(tmp_path), count=3)
    (tmp_path / "0000002_img1.png").touch()  # by a validation before the run was resumed
    evaluate(callback, run_of("test"))
    assert drawn == [] and capsys.readouterr().out == ""


def test_a_validation_draws_for_the_final_evaluation_too(drawn, tmp_path, monkeypatch, capsys):
    def draw(seen, path):
        path.touch()
        drawn.append(path.name)
        return ["image"]

    monkeypatch.setattr(images, "draw", draw)
    callback = PredictionImages(folder=str(tmp_path), count=3)
    validate(callback, run_of("fit"))
    callback.on_fit_end(run_of("fit"), None)
    evaluate(callback, run_of("test"))
    assert drawn == EXPECTED, "once, by the validation"
    assert capsys.readouterr().out.count("image (image): ") == 1


def test_loggers_get_sheets_masks_and_tokens_by_keys_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "look", seen)
    found = {}

    def log_masks(key, image, masks, classes, step):
        kinds = {name: mask.tolist() for name, mask in masks.items()}
        found[key] = (image.shape, kinds, classes[1], step)

    def log_image(key, paths, step):
        found[key] = (paths[0].removeprefix(f"{tmp_path}/"), step)

    trainer = run_of("fit")
    trainer.loggers = [SimpleNamespace(), SimpleNamespace(log_image=log_image, log_masks=log_masks)]
    validate(PredictionImages(folder=str(tmp_path), count=1), trainer)
    assert found == {
        "images/0": ("0000005_img5.png", 4),
        "masks/0": (
            (8, 8, 3),
            {"truth": [[0, 1], [2, -1]], "prediction": [[0, 1], [1, 1]]},
            "class 1",
            4,
        ),
        "tokens/0": ("tokens/0000005_img5.png", 4),
    }
    assert (tmp_path / "tokens" / "0000005_img5.png").exists()
    trainer.loggers = [SimpleNamespace()]
    validate(PredictionImages(folder=str(tmp_path / "csv"), count=1), trainer)
    assert not (tmp_path / "csv" / "tokens").exists(), "nobody shows them"
