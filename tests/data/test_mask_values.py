from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from segsuite.core.config import CONF
from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.readers.mask_values import MaskReader
from tests.data.layouts import mask_of, write_mask

TABLE = """
ignore: 255
ignored_colors: [[224, 224, 192]]
classes:
  - {id: 4, name: sky, color: [70, 130, 180]}
  - {id: 1, name: road, color: [128, 64, 128]}
  - {id: 0, name: rest, color: [0, 0, 0]}
"""
COLORS = {4: (70, 130, 180), 1: (128, 64, 128), 0: (0, 0, 0), 255: (224, 224, 192)}
IDS = mask_of([4, 1, 0, 255])


def table(tmp_path: Path, text: str = TABLE) -> ClassTable:
    (tmp_path / "classes.yaml").write_text(text)
    return ClassTable.load(tmp_path / "classes.yaml")


def colors_of(ids: np.ndarray) -> np.ndarray:
    lookup = np.zeros((256, 3), np.uint8)
    lookup[list(COLORS)] = list(COLORS.values())
    return lookup[ids]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_masks_of_colours_are_read_by_the_colours_of_the_table(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mask.{suffix}"
    Image.fromarray(colors_of(IDS)).save(path, **({"lossless": True} if suffix == "webp" else {}))
    raw = MaskReader(table(tmp_path))(path)
    assert raw.dtype == np.uint8 and (raw == IDS).all()
    assert (MaskReader(table(tmp_path), "colors")(path) == IDS).all()
    with pytest.raises(DataError, match="holds colours, but data"):
        MaskReader(table(tmp_path), "ids")(path)


def test_the_file_and_the_first_pixel_of_an_unknown_colour_are_named(tmp_path: Path) -> None:
    pixels = colors_of(IDS)
    pixels[3, 5] = pixels[7, 2] = (1, 2, 3)
    write_mask(tmp_path / "mask.png", pixels)
    with pytest.raises(DataError) as caught:
        MaskReader(table(tmp_path))(tmp_path / "mask.png")
    said = str(caught.value)
    assert "mask.png: the pixel in row 3, column 5 has the colour [1, 2, 3]" in said
    assert "ignored_colors: [[r, g, b]]" in said


def test_colours_that_the_table_does_not_give_are_not_looked_for(tmp_path: Path) -> None:
    """Made-up colours may be anything."""
    classes = table(tmp_path, "classes: [{name: a}, {name: b}]")
    write_mask(tmp_path / "mask.png", classes.colors[mask_of([0, 1])])
    with pytest.raises(DataError, match=r"holds colours .* table gives none; write `color: \[r"):
        MaskReader(classes)(tmp_path / "mask.png")
    write_mask(tmp_path / "mask.png", mask_of([0, 1])[..., None].repeat(3, 2))
    assert np.unique(MaskReader(classes)(tmp_path / "mask.png")).tolist() == [0, 1]


@pytest.mark.parametrize("channels", ["RGB", "RGBA", "LA"])
def test_grey_in_three_channels_or_with_alpha_is_ids(channels: str, tmp_path: Path) -> None:
    Image.fromarray(IDS).convert(channels).save(tmp_path / "mask.png")
    assert (MaskReader(table(tmp_path))(tmp_path / "mask.png") == IDS).all()


def test_grey_that_may_be_ids_or_colours_is_asked_about(tmp_path: Path) -> None:
    """White as a colour is class 1, and as an id it would be ignored without a word."""
    classes = table(
        tmp_path,
        "ignore: 255\nclasses: [{name: back, color: [0, 0, 0]}, "
        "{name: crack, color: [255, 255, 255]}]",
    )
    write_mask(tmp_path / "mask.png", mask_of([0, 255])[..., None].repeat(3, 2))
    with pytest.raises(DataError, match=r"row 0, column 8 is 255 in all.*mask_values=ids, or data"):
        MaskReader(classes)(tmp_path / "mask.png")
    by = {how: MaskReader(classes, how)(tmp_path / "mask.png")[0, 8] for how in ("ids", "colors")}
    assert by == {"ids": 255, "colors": 1}
    write_mask(tmp_path / "grey.png", mask_of([0, 255]))
    assert MaskReader(classes)(tmp_path / "grey.png")[0, 8] == 255, "grey is ids as ever"


def palette_mask(path: Path, indices: np.ndarray, colors: list[tuple[int, ...]]) -> Path:
    image = Image.fromarray(indices)
    image.putpalette([channel for color in colors for channel in color])
    image.save(path)
    return path


def test_a_palette_that_contradicts_the_order_of_indices_is_followed(tmp_path: Path) -> None:
    order = [1, 0, 4, 255]  # as a program sorts colours by how often they occur
    path = palette_mask(tmp_path / "m.png", mask_of([2, 0, 1, 3]), [COLORS[i] for i in order])
    assert (MaskReader(table(tmp_path))(path) == IDS).all()
    assert np.unique(MaskReader(table(tmp_path), "ids")(path)).tolist() == [0, 1, 2, 3]


def test_indices_of_a_palette_are_ids_where_it_does_not_contradict(tmp_path: Path) -> None:
    classes = table(tmp_path)
    own = [COLORS.get(i, (i, 7, 7)) for i in range(256)]  # as VOC's: the table's own colours
    other = [(i, 255 - i, 99) for i in range(256)]
    for colors in (own, other):
        assert (MaskReader(classes)(palette_mask(tmp_path / "m.png", IDS, colors)) == IDS).all()
    grey = [(i, i, i) for i in range(256)]
    voc = palette_mask(tmp_path / "m.png", mask_of([0, 1, 20, 255]), grey)
    assert np.unique(MaskReader(ClassTable.load("voc21"))(voc)).tolist() == [0, 1, 20, 255]
    mixed = palette_mask(tmp_path / "m.png", mask_of([0, 1, 2]), [COLORS[1], COLORS[4], (9, 9, 9)])
    with pytest.raises(DataError, match="index 0 of its palette has the colour of id 1 in the cla"):
        MaskReader(classes)(mixed)
    chance = palette_mask(tmp_path / "m.png", mask_of([1]), [(9, 9, 9), COLORS[4]])
    with pytest.raises(DataError, match=r"index 1 of .* colour of id 4 in .* and index 0 a colour"):
        MaskReader(classes)(chance)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_masks_in_jpeg_are_refused_with_the_reason(mode: str, tmp_path: Path) -> None:
    """Most of their ids would be others, and some of them known ones."""
    Image.fromarray(IDS).convert(mode).save(tmp_path / "mask.png", "JPEG")
    with pytest.raises(DataError, match=r"mask\.png is a mask in JPEG, which changes ids"):
        MaskReader(table(tmp_path))(tmp_path / "mask.png")


def test_tables_that_cannot_read_colours(tmp_path: Path) -> None:
    classes = table(tmp_path, "classes: [{name: a, color: [1, 2, 3]}, {name: b, color: [1, 2, 3]}]")
    write_mask(tmp_path / "grey.png", mask_of([0, 1]))
    assert np.unique(MaskReader(classes)(tmp_path / "grey.png")).tolist() == [0, 1]
    palette_mask(tmp_path / "palette.png", mask_of([0, 1]), [(1, 2, 3), (9, 9, 9)])
    assert np.unique(MaskReader(classes)(tmp_path / "palette.png")).tolist() == [0, 1]
    write_mask(tmp_path / "equal.png", mask_of([0, 1])[..., None].repeat(3, 2))
    assert np.unique(MaskReader(classes)(tmp_path / "equal.png")).tolist() == [0, 1]
    write_mask(tmp_path / "mask.png", np.full((4, 4, 3), (1, 2, 3), np.uint8))
    with pytest.raises(DataError, match="ids 0 and 1 of the class table have one colour"):
        MaskReader(classes)(tmp_path / "mask.png")
    for void in ("[0, 0, 0]", "[[0, 0]]", "black"):
        with pytest.raises(DataError, match="ignored_colors"):
            table(tmp_path, f"ignore: 255\nignored_colors: {void}\nclasses: [{{name: a}}]")
    with pytest.raises(DataError, match="has `ignored_colors`, but no `ignore: 255`"):
        MaskReader(table(tmp_path, "ignored_colors: [[0, 0, 0]]\nclasses: [{name: a}]"))


@pytest.mark.parametrize("name", ["voc", "coco_stuff10k", "coco_stuff164k"])
def test_data_sets_whose_indices_are_ids_are_read_so_whatever_their_palettes_say(name: str) -> None:
    reader = OmegaConf.load(CONF / f"data/{name}.yaml").reader
    assert reader.mask_values == "ids"
