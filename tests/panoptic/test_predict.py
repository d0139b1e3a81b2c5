"""`predict` with a panoptic checkpoint: overlays with borders, and COCO's files read back."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite import api
from segsuite.core.errors import ConfigError
from segsuite.core.labels import IGNORE
from segsuite.data.palette import bordered, overlay
from segsuite.data.panoptic_files import maps_of_segments, read_panoptic_json, read_segments
from segsuite.data.readers.coco_panoptic import CocoPanoptic
from segsuite.engine.inference import label_files
from segsuite.engine.inference.answers import Answer, Segments
from segsuite.engine.inference.label_files import LabelFiles
from segsuite.engine.inference.modes import Whole
from segsuite.engine.inference.segment_files import _numbers
from segsuite.nn.grouping import Grouping
from segsuite.predict import main as predict
from tests.engine.entry_points import called
from tests.panoptic.made import CLASSES, SIZE, images, made
from tests.toy import toy_classes


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> SimpleNamespace:
    """A checkpoint, two images in folders, and what grouping makes of them."""
    folder = tmp_path_factory.mktemp("panoptic")
    network, photos = made(folder / "made.ckpt"), images(2)
    names = ("000000000042", "sub/b")
    (folder / "in" / "sub").mkdir(parents=True)
    for name, photo in zip(names, photos, strict=True):
        Image.fromarray(photo.permute(1, 2, 0).numpy()).save(folder / "in" / f"{name}.png")
    with torch.inference_mode():
        evidence = [Whole().evidence(network, [photo], [SIZE])[0] for photo in photos]
    group = Grouping(threshold=0.1, stuff_area=300)
    found = [group(maps, CLASSES.things, seen=SIZE) for maps in evidence]
    assert all((one.labels == IGNORE).any() and (one.areas > 0).sum() > 2 for one in found)
    photos = dict(zip(names, photos, strict=True))
    return SimpleNamespace(folder=folder, photos=photos, found=dict(zip(names, found, strict=True)))


def run(given, source, output, *more: str) -> int:
    line = (f"ckpt_path={given.folder / 'made.ckpt'}", f"input={source}", f"output={output}")
    typed = ("device=cpu", "legend=false", "method.grouping.stuff_area=300", "allow=[tests.]")
    typed = (*typed, "inference.batch=1")  # as the expected, to the last digit
    return called(predict, *line, *typed, *more, f"paths.logs={output.parent}")


def test_segments_are_drawn_with_borders_and_written_as_coco_writes_them(given, tmp_path, capsys):
    output = tmp_path / "out"
    (output / "panoptic").mkdir(parents=True)
    (output / "panoptic.json").write_text("of another run")
    assert run(given, given.folder / "in", output) == 0
    assert "panoptic.json" in capsys.readouterr().out
    file = read_panoptic_json(output / "panoptic.json")
    assert list(file.images) == [42, 1] and set(file.sizes.values()) == {SIZE}
    assert {CLASSES.ids[c] for c in CLASSES.things} == {i for i, t in file.categories.items() if t}
    for (name, one), entry in zip(given.found.items(), file.images.values(), strict=True):
        ids = read_segments(output / "panoptic", entry, file)
        labels, instances = maps_of_segments(ids, entry.segments, CLASSES)
        assert np.array_equal(labels, one.labels.numpy())
        pairs = set(zip(instances.flat, one.instances.flatten().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 2
        mask = np.asarray(Image.open(output / "masks" / f"{name}.png"))
        assert np.array_equal(mask, CLASSES.raw(one.semantic.numpy()))
        drawn = np.asarray(Image.open(output / "overlays" / f"{name}.png"))
        under = overlay(given.photos[name], one.labels, CLASSES.colors)
        assert np.array_equal(drawn, bordered(under, one.instances))


def test_data_coco_panoptic_reads_it_back(given, tmp_path):
    table = replace(CLASSES, ids=tuple(range(1, len(CLASSES) + 1)), ignore=0)
    made(tmp_path / "made.ckpt", classes=table)
    line = (f"ckpt_path={tmp_path / 'made.ckpt'}", "method.grouping.stuff_area=300")
    line = (*line, f"input={given.folder / 'in'}", f"output={tmp_path / 'out'}", "allow=[tests.]")
    line = (*line, "inference.batch=1")  # as the expected, to the last digit
    assert called(predict, *line, "device=cpu", f"paths.logs={tmp_path}") == 0
    (tmp_path / "in").symlink_to(given.folder / "in")
    reader = CocoPanoptic(
        annotations="out/panoptic.json",
        images="in/{id}.png",
        masks="out/panoptic/{id}.png",
        splits={"val": "val"},
    )
    samples = reader.open("val", root=tmp_path, classes=table, instances=True, strict=True)
    assert samples.ids == list(given.found)
    for number, one in enumerate(given.found.values()):
        assert samples.inspect(number).fault is None
        sample = samples[number]
        assert torch.equal(sample.label, one.labels)
        maps = (sample.instances, one.instances)
        pairs = set(zip(*(m.flatten().tolist() for m in maps), strict=True))
        assert [len(pairs)] * 2 == [len(m.unique()) for m in maps]


def test_numbers_of_images_are_those_that_coco_has_left():
    names = ["a", "000000000002", "7", "sub/000000000001", "000000000001"]
    assert _numbers(names) == [3, 2, 4, 5, 1]


def test_from_python(given, tmp_path):
    typed = ("method.grouping.stuff_area=300", "allow=[tests.]", f"paths.logs={tmp_path}")
    model = api.load(given.folder / "made.ckpt", *typed, device="cpu")
    name, one = next(iter(given.found.items()))
    photo = given.folder / "in" / f"{name}.png"
    labels, instances = api.segments(model, photo)
    assert np.array_equal(labels, one.labels) and np.array_equal(instances, one.instances)
    drawn = np.asarray(api.overlay(model, photo, labels, instances=instances, legend=False))
    under = overlay(given.photos[name], one.labels, CLASSES.colors)
    assert np.array_equal(drawn, bordered(under, one.instances))
    with pytest.raises(ConfigError, match=r"instances are \(3, 4\), and the image is"):
        api.overlay(model, photo, labels, instances=np.zeros((3, 4), int))


def test_frames_of_a_video_show_borders(given, tmp_path):
    output = tmp_path / "frames"
    assert run(given, given.folder / "in", output, "video=true") == 0
    (name,) = (path.stem for path in output.iterdir())
    one = given.found[name]
    plain = overlay(given.photos[name], one.labels, CLASSES.colors)
    drawn = np.asarray(Image.open(output / f"{name}.jpg")).astype(int)
    apart, plainly = (np.abs(drawn - p).mean() for p in (bordered(plain, one.instances), plain))
    assert apart < plainly / 2  # what is left is JPEG's


def test_borders_go_on_across_parts_of_a_large_image(tmp_path, monkeypatch):
    monkeypatch.setattr(label_files, "_AT_ONCE", 50)
    random, classes = np.random.default_rng(0), toy_classes(5)
    image = random.integers(0, 256, (3, 37, 23), dtype=np.uint8)
    labels, instances = (
        torch.from_numpy(random.integers(low, 3, (37, 23)).astype(kind))
        for low, kind in ((-1, np.int16), (0, np.int32))
    )
    none = torch.empty(0)  # of what tells more of instances pictures show nothing
    answer = Answer(torch.zeros_like(labels), Segments(labels, instances, none, none, none))
    files = LabelFiles(tmp_path, classes, opacity=0.3, legend=False, colors=False)
    files.write("a", image, answer)
    drawn = np.asarray(Image.open(tmp_path / "overlays" / "a.png"))
    assert np.array_equal(drawn, overlay(image, labels, classes.colors, 0.3, instances=instances))
    assert not np.array_equal(drawn, overlay(image, labels, classes.colors, 0.3))
