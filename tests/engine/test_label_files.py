"""Which files are segmented, what their answers are called, and what is in them."""

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core.errors import ConfigError, DataError
from segsuite.data.palette import colourise, overlay
from segsuite.engine.inference import label_files
from segsuite.engine.inference.answers import Answer
from segsuite.engine.inference.inputs import as_path, frames_of, images_of
from segsuite.engine.inference.label_files import LabelFiles
from segsuite.engine.inference.legend import PAPER, legend, with_below
from segsuite.engine.inference.modes import Whole
from segsuite.engine.inference.prediction import NetworkPredictor
from tests.toy import ToySegmenter, toy_classes


def names(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return [source.name for source in images_of(str(folder)).images]


def test_sub_folders_are_walked_and_kept(tmp_path):
    assert names(tmp_path, "b.png", "x/a.png", "x/y/b.TIF") == ["b", "x/a", "x/y/b"]


def test_hidden_files_and_folders_are_none_of_the_images(tmp_path):
    assert names(tmp_path, "b.png", "._b.png", ".DS_Store", ".cache/c.png") == ["b"]
    assert not images_of(str(tmp_path)).others


def test_links_that_lead_nowhere_are_named_when_they_are_read(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path) == ["gone"]


def test_links_that_lead_back_are_walked_once(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in", target_is_directory=True)
    assert names(tmp_path / "in", "a.png") == ["a"]


def test_files_that_would_be_one_keep_their_suffixes(tmp_path):
    assert names(tmp_path, "a.jpg", "a.png", "b.png") == ["a.jpg", "a.png", "b"]
    assert names(tmp_path, "a.jpg.bmp") == ["a.jpg", "a.jpg.bmp", "a.png", "b.png"]


def test_images_of_a_glob_are_flat_where_that_is_clear(tmp_path):
    names(tmp_path, "ulm/1.png", "bonn/2.png", "bonn/notes.txt")
    assert [s.name for s in images_of(f"{tmp_path}/*/*").images] == ["2", "1"]
    names(tmp_path, "ulm/2.png")
    assert [s.name for s in images_of(f"{tmp_path}/*/*").images] == ["bonn/2", "ulm/1", "ulm/2"]


def test_several_images_are_a_folder_or_a_glob(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="several of them; put them in one folder"):
        images_of(f"{tmp_path}/1.png,{tmp_path}/2.png")
    with pytest.raises(DataError, match=r"or glob \("):
        images_of(f"{tmp_path}/1.png,{tmp_path}/3.png")


def test_an_output_within_the_input_is_no_input(tmp_path):
    names(tmp_path, "a.png", "out/masks/a.png", "masks/b.png")
    assert [s.name for s in images_of(str(tmp_path), without=[tmp_path / "out"]).images] == [
        "a",
        "masks/b",
    ]


def test_frames_of_a_video_are_those_of_one_folder(tmp_path):
    names(tmp_path, "1.png", "2.png", "sub/3.png")
    assert [path.name for path in frames_of(str(tmp_path))] == ["1.png", "2.png"]
    (tmp_path / "1.jpg").touch()
    with pytest.raises(DataError, match=r"1\.jpg and .*1\.png would be one frame"):
        frames_of(str(tmp_path))


def test_a_folder_without_images_says_what_is_read(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images in that folder.*\.ppm"):
        images_of(str(tmp_path))


@pytest.mark.parametrize("value", [True, None, "", [1, 2], {"a": 1}])
def test_what_is_no_path(value):
    with pytest.raises(ConfigError, match=r"input=.* is no path; type input=PATH"):
        as_path(value, key="input")


def test_a_folder_may_be_called_by_a_number():
    assert as_path(3, key="input") == "3"


@pytest.mark.parametrize("count", [3, 255, 256])
def test_labels_are_in_a_narrow_type_that_holds_them(tmp_path, count):
    network, classes = ToySegmenter(num_classes=count).eval(), toy_classes(count)
    predictor = NetworkPredictor(network, classes, inference=Whole(), transform=lambda image: image)
    image = torch.randint(0, 256, (3, 16, 24), dtype=torch.uint8)
    (labels,) = predictor.labels([predictor.shown(image)], [(16, 24)])
    assert labels.dtype == (torch.uint8 if count < 256 else torch.int16)
    with torch.no_grad():
        (wide,) = Whole().labels(network, [image], [(16, 24)])
    files = LabelFiles(tmp_path, classes, opacity=0.5, legend=False, colors=True)
    files.write("a", image.numpy(), Answer(labels))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / "a.png")), wide.numpy())


def test_files_made_some_rows_at_a_time_are_those_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(label_files, "_AT_ONCE", 70)
    random, classes = np.random.default_rng(0), toy_classes(5)
    image = random.integers(0, 256, (3, 37, 23), dtype=np.uint8)
    labels = random.integers(-1, 3, (37, 23)).astype(np.int16)
    files = LabelFiles(tmp_path, classes, opacity=0.3, legend=True, colors=True)
    files.write("sub/a", image, Answer(torch.from_numpy(labels)))
    assert files.kinds == ("masks", "colors", "overlays")
    read = {kind: np.asarray(Image.open(tmp_path / kind / "sub" / "a.png")) for kind in files.kinds}
    assert np.array_equal(read["masks"], classes.raw(labels))
    assert np.array_equal(read["colors"], colourise(labels, classes.colors))
    overlaid = overlay(image, labels, classes.colors, 0.3)
    assert np.array_equal(read["overlays"][:37, :23], overlaid)
    below = legend(classes, [0, 1, 2], (37, 23))
    assert np.array_equal(read["overlays"][37:], np.asarray(below)), "only what is in the image"


@pytest.mark.parametrize("size", [(360, 480), (30, 20), (3000, 4000)])
def test_a_legend_shows_each_class_in_its_colour_once(size):
    classes = toy_classes(40)
    strip = np.asarray(legend(classes, range(40), size))
    assert strip.shape[1] >= size[1]
    letter = max(12, max(size) // 60)
    for color in classes.colors:
        pixels = (strip == color).all(-1).sum()
        assert pixels >= (letter - 2) ** 2, "inside of its frame"
    assert (tuple(strip[0, 0]) == PAPER and strip.shape[0] < size[0]) or size == (30, 20)


def test_a_strip_covers_nothing_of_the_image():
    image, strip = Image.new("RGB", (10, 20), (1, 2, 3)), Image.new("RGB", (30, 5), (4, 5, 6))
    both = np.asarray(with_below(image, strip))
    assert both.shape == (25, 30, 3) and (both[:20, :10] == (1, 2, 3)).all()
    assert (both[20:] == (4, 5, 6)).all() and (both[:20, 10:] == PAPER).all()


def test_an_image_without_a_class_has_an_empty_legend():
    assert legend(toy_classes(3), [], (100, 200)).width == 200
