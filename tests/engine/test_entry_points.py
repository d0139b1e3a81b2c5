"""A checkpoint through evaluate and predict, and the images of a training, in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core import results
from segsuite.engine.callbacks.images import PANELS
from segsuite.engine.callbacks.panels import contact_sheet, token_panels
from segsuite.evaluate import main as evaluate
from segsuite.nn.token_trace import TokenStage, TokenTrace
from segsuite.predict import main as predict
from segsuite.train import main as train
from tests.engine.entry_points import TOY, called, command, training
from tests.toy import toy_classes


def call(main, line: list[str]) -> int:
    """The exit code of the entry point of a command line, in this process."""
    return called(main, *line[3:])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short training, with images."""
    logs = tmp_path_factory.mktemp("logs")
    line = [a for a in training(logs, "trainer.max_steps=12") if "images" not in a]
    assert call(train, line) == 0
    (folder,) = logs.glob("train/toy/*")
    return folder


def given(run, *arguments: str, entry_point: str = "evaluate") -> list[str]:
    checkpoint = run / "checkpoints" / "best.ckpt"
    logs = f"paths.logs={run.parents[2]}"
    return command(entry_point, f"ckpt_path={checkpoint}", TOY[2], logs, *arguments)


def test_training_leaves_figures_and_images(run):
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert metrics["test/miou"] > 0
    (entry,) = results.read(run / "result.json").entries
    recorded = {name: metric.value for name, metric in entry.metrics.items()}
    assert recorded.pop("parameters") == 773 and 0 < recorded.pop("gmacs") < 1e-3
    assert recorded == metrics
    assert Path(entry.artefacts["checkpoint"]) == run / "checkpoints" / "best.ckpt"
    assert json.loads((run / "run.json").read_text())["goes_on_from"] == "checkpoints/last.ckpt"
    images = sorted(path.name for path in (run / "images").iterdir())
    assert images == [f"0000012_stripes_{i}.png" for i in (0, 1, 3, 4)]
    drawn = Image.open(run / "images" / images[0])
    told = json.loads(drawn.text[PANELS])
    assert told["image"] == "stripes_0"
    assert [p["caption"] for p in told["panels"]] == ["image", "truth", "prediction"]
    sheet = np.asarray(drawn)
    colors = toy_classes(5).colors
    assert all((sheet == color).all(-1).any() for color in colors[:3]), "in a legend or the labels"
    rows = (run / "classes.csv").read_text().splitlines()
    assert rows[0] == "class,iou,accuracy,pixels" and len(rows) == 6


@pytest.mark.parametrize("callbacks", ["default", "ema"])
def test_the_final_test_is_of_the_weights_that_were_best(tmp_path, callbacks):
    line = training(tmp_path, f"callbacks={callbacks}", "trainer.max_steps=24")
    assert call(train, line) == 0
    (folder,) = tmp_path.glob("train/toy/*")
    best = json.loads((folder / "checkpoints" / "best.json").read_text())
    figures = json.loads((folder / "result.json").read_text())["metrics"]
    assert figures["test/miou"] == best["score"]


def test_evaluate_repeats_the_figures_of_the_training(run, capfd):
    assert call(evaluate, given(run, "trainer=cpu")) == 0
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    trained = json.loads((run / "result.json").read_text())["metrics"]
    assert found["metrics"]["val/miou"] == trained["test/miou"]
    (path,) = run.parents[2].glob("evaluate/*/*/result.json")
    assert {k: v for k, v in json.loads(path.read_text()).items() if k != "record"} == found


def test_what_is_typed_goes_over_the_config_of_the_checkpoint(run, capfd):
    line = given(run, "trainer=cpu", "inference=slide", "inference.window=[16,16]")
    assert call(evaluate, line) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["inference"] == "Slide"
    assert call(evaluate, given(run, "trainer=cpu", "method.network.width=16")) == 2
    assert "does not fit ToySegmenter" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data.num_classes=4"], "was trained for 5 classes, the data has 4"),
        (["split=tset"], "split=tset is not one of val, test"),
        (["data.batch_sise=4"], "did you mean `data.batch_size`"),
    ],
)
def test_evaluate_says_what_is_wrong(run, capfd, arguments, said):
    assert call(evaluate, given(run, "trainer=cpu", *arguments)) == 2
    err = capfd.readouterr().err
    assert said in err and "Traceback" not in err


def test_without_a_checkpoint_it_says_how_to_give_one(capfd):
    assert call(evaluate, command("evaluate")) == 2
    assert "ckpt_path=" in capfd.readouterr().err


def test_predict_writes_masks_of_raw_ids_and_overlays(run, tmp_path, capfd):
    source, out = tmp_path / "in", tmp_path / "in" / "out"
    (source / "rainy day").mkdir(parents=True)
    for name, size in {"a.png": (40, 30), "b.jpg": (33, 17), "rainy day/c.ppm": (20, 24)}.items():
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / name)
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(source / "deep.png")
    Image.new("1", (16, 16)).save(source / "b.bmp")
    (source / "._a.png").write_bytes(b"what macOS writes beside files")
    (source / "notes.txt").touch()
    line = given(run, f"input={source}", f"output={out}", "colors=true", entry_point="predict")
    assert call(predict, line) == 0
    said = capfd.readouterr()
    assert f"5 images segmented: {out}/masks, {out}/colors, {out}/overlays" in said.out
    assert "left out, since their names are not those of images: 1 .txt" in said.err
    for kind in ("masks", "colors", "overlays"):
        found = sorted(
            path.relative_to(out / kind).as_posix() for path in (out / kind).rglob("*.png")
        )
        assert found == ["a.png", "b.bmp.png", "b.jpg.png", "deep.png", "rainy day/c.png"]
    mask = np.asarray(Image.open(out / "masks" / "a.png"))
    assert mask.shape == (40, 30) and mask.max() < 5
    width, height = Image.open(out / "overlays" / "b.jpg.png").size
    assert width >= 17 and height > 33, "a legend is below"

    line = given(run, f"input={source}", f"output={out}", "legend=false", entry_point="predict")
    assert call(predict, line) == 0
    assert "5 images" in capfd.readouterr().out, "not those that the first call wrote"
    assert Image.open(out / "overlays" / "b.jpg.png").size == (17, 33)

    (source / "c.png").write_bytes(b"not an image")
    assert call(predict, line) == 2
    assert "c.png" in capfd.readouterr().err


def test_panels_show_shared_patches_and_tokens_that_left():
    image = torch.full((3, 20, 30), 200, dtype=torch.uint8)
    owner = torch.tensor([[0, 0, 1, 0, 0, 2, 3, 4, 5]])  # a 3x3 grid of 10-pixel patches, padded
    last = TokenStage(after=4, slots=torch.tensor([[0, 3]]))
    first = TokenStage(after=0, slots=torch.arange(6)[None])
    trace = TokenTrace(grid=(3, 3), patch=10, owner=owner, stages=(first, last))
    shared, left = token_panels(image, trace)
    assert shared.caption == "9 patches, 6 tokens"
    assert shared.pixels[5, 10].tolist() == [200, 200, 200], "inside a group there is no line"
    assert shared.pixels[5, 20].tolist() == [255, 221, 0]
    assert left.caption == "2 tokens left after block 4"
    assert left.pixels[5, 5].tolist() == [200, 200, 200]
    assert left.pixels[5, 25].tolist() == [40, 40, 40]
    sheet, boxes = contact_sheet([shared, left])
    assert sheet.size[0] > 2 * 180
    assert [sheet.crop(box).size for box in boxes] == [
        boxes[0][2:] and sheet.crop(boxes[0]).size
    ] * 2
