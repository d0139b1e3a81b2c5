"""A folder of images of all sizes and colour modes, through a network with fixed budgets."""

import numpy as np
import pytest
from PIL import Image

from segsuite.predict import main as predict
from tests.segvit.made import called, made

IMAGES = {  # name: mode, (width, height)
    "grey.jpg": ("L", (96, 64)),
    "ink.jpg": ("CMYK", (96, 64)),
    "odd.jpg": ("RGB", (77, 45)),
    "tall.png": ("RGB", (33, 130)),
    "tiny.png": ("RGB", (5, 3)),
    "see_through.png": ("RGBA", (96, 64)),
    "palette.png": ("P", (40, 40)),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The quickstart's hybrid: shared tokens, then a fixed share of them."""
    path = tmp_path_factory.mktemp("made") / "hybrid.ckpt"
    return made(path, "experiment=quickstart", "method.pruning.after=[2]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    for name, (mode, size) in IMAGES.items():
        coarse.resize(size, Image.Resampling.BICUBIC).convert(mode).save(folder / name)
    return folder


def masks(checkpoint, source, output, *arguments: str) -> dict[str, np.ndarray]:
    line = (f"ckpt_path={checkpoint}", f"input={source}", f"output={output}", "device=cpu")
    assert called(predict, *line, f"paths.logs={output}", *arguments) == 0
    found = sorted((output / "masks").iterdir())
    return {path.stem: np.asarray(Image.open(path)) for path in found}


def test_every_image_gets_a_mask_and_an_overlay_of_its_own_size(checkpoint, folder, tmp_path):
    found = masks(checkpoint, folder, tmp_path, "legend=false")
    assert len(found) == len(IMAGES)
    for name, (_, size) in IMAGES.items():
        stem = name.partition(".")[0]
        assert found[stem].shape == size[::-1], name
        overlay = Image.open(tmp_path / "overlays" / f"{stem}.png")
        assert (overlay.size, overlay.mode) == (size, "RGB"), name
    assert len(np.unique(found["odd"])) > 1


def test_a_image_does_not_depend_on_those_beside_it(checkpoint, folder, tmp_path):
    together = masks(checkpoint, folder, tmp_path / "together")
    alone = masks(checkpoint, folder, tmp_path / "alone", "batch_size=1")
    for stem, mask in together.items():
        assert np.mean(mask != alone[stem]) < 1e-3, stem  # but for ties in the last digit


def test_a_grey_image_is_segmented_as_its_rgb_copy(checkpoint, folder, tmp_path):
    (tmp_path / "in").mkdir()
    for stem in ("grey", "ink"):
        copy = Image.open(folder / f"{stem}.jpg").convert("RGB")
        copy.save(tmp_path / "in" / f"{stem}.png")
    as_rgb = masks(checkpoint, tmp_path / "in", tmp_path / "rgb")
    as_stored = masks(checkpoint, folder, tmp_path / "stored")
    for stem in ("grey", "ink"):
        assert np.mean(as_rgb[stem] != as_stored[stem]) < 1e-3
