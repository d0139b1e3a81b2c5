"""Tiny videos and folders of frames through segsuite.predict, and every way they can be wrong."""

import os
import re
import signal
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from segsuite.core import files as whole_files
from segsuite.core.checkpoint import save_checkpoint
from segsuite.data.frames import Faults, ImageFrames, VideoFrames
from segsuite.engine.inference import video, video_output
from segsuite.engine.inference.prediction import white_of
from segsuite.engine.inference.video import decoded_ahead
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint
from segsuite.predict import main as predict
from tests.engine.entry_points import TOY, called, training
from tests.toy import ToySegmenter, toy_classes

SIZE = (48, 64)


@pytest.fixture(scope="module")
def av():
    return pytest.importorskip("av")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    arguments = training(folder)[3:]
    overrides = [a for a in arguments if "=" in a]
    cfg = compose("train", [f"hydra.searchpath=[file://{arguments[1]}]", *overrides])
    torch.manual_seed(0)
    network = ToySegmenter(num_classes=5)
    save_checkpoint(as_checkpoint(cfg, network, toy_classes(5)), folder / "toy.ckpt")
    return folder / "toy.ckpt"


@pytest.fixture
def entry_point(checkpoint, tmp_path, capfd):
    """Runs predict in this process; its exit code, stdout and stderr."""

    def run(source, output, *arguments: str) -> tuple[int, str, str]:
        line = (f"ckpt_path={checkpoint}", TOY[2], f"input={source}", f"output={output}")
        code = called(predict, *line, "device=cpu", f"paths.logs={tmp_path / 'logs'}", *arguments)
        return code, *capfd.readouterr()

    return run


def image(index: int, size=SIZE) -> np.ndarray:
    """Flat but for a bar that moves 2 pixels a frame."""
    pixels = np.full((*size, 3), (200, 30, 40), np.uint8)
    pixels[:, 2 * index : 2 * index + 8] = (0, 240, 0)
    return pixels


def film(av, path, count=10, size=SIZE, *, codec="libx264", rate=25, rotated=0, at=None):
    """A video of that many images, shown at the seconds of `at`."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}  # its index comes first
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.colorspace, stream.codec_context.color_range = 5, 1
        if rotated:
            stream.set_display_rotation(rotated)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(image(index, size), format="rgb24")
            frame.pts = round(1000 * (at[index] if at else index / rate))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames(folder, count=10, size=SIZE):
    folder.mkdir()
    for index in range(count):
        Image.fromarray(image(index, size)).save(folder / f"f{index + 1}.png")
    return folder


def shown(av, path) -> tuple[list[np.ndarray], list[float]]:
    """The images of a video, and the seconds at which they are shown."""
    with av.open(str(path)) as container:
        found = list(container.decode(video=0))
    return [f.to_ndarray(format="rgb24") for f in found], [f.time for f in found]


def broken(path, packet: int, av):
    """The video with noise in the place of one packet's data."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        start, size = packets[packet].pos, packets[packet].size
    content = bytearray(path.read_bytes())
    content[start + 4 : start + size] = b"\xff" * (size - 4)
    path.write_bytes(content)
    return path


def left(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != "logs")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_video_becomes_an_overlaid_video_of_the_same_times(av, entry_point, tmp_path, suffix):
    source = film(av, tmp_path / "in.mp4")
    code, out, err = entry_point(source, tmp_path / f"out{suffix}", "opacity=0", "batch_size=4")
    assert code == 0, err
    assert "10 frames segmented" in out and "by the network alone" in out
    assert "with everything" in out and "skipped" not in out
    (images, times), (given, when) = shown(av, tmp_path / f"out{suffix}"), shown(av, source)
    assert times == pytest.approx(when, abs=2e-3)
    for found, wanted in zip(images, given, strict=True):
        assert np.abs(found.astype(int) - wanted).mean() < 8  # the same image and colours
    assert left(tmp_path) == ["in.mp4", f"out{suffix}"]


def test_colours_of_classes_are_over_the_frames(av, entry_point, tmp_path):
    source = film(av, tmp_path / "in.mp4", count=3)
    assert entry_point(source, tmp_path / "out.mp4", "opacity=1")[0] == 0
    assert entry_point(source, tmp_path / "out", "opacity=1")[0] == 0
    assert left(tmp_path / "out") == ["000001.jpg", "000002.jpg", "000003.jpg"]
    colors = toy_classes(5).colors.astype(int)
    for pixels in (*shown(av, tmp_path / "out.mp4")[0], Image.open(tmp_path / "out/000002.jpg")):
        away = np.abs(np.asarray(pixels)[..., None, :].astype(int) - colors).sum(-1).min(-1)
        assert np.median(away) < 20  # but for the borders, which compression blurs


def test_frames_of_uneven_times_keep_them(av, entry_point, tmp_path):
    at = [0, 0.04, 0.3, 0.31, 1.0]
    source = film(av, tmp_path / "in.mp4", count=5, at=at)
    assert entry_point(source, tmp_path / "out.mp4", "batch_size=2")[0] == 0
    assert shown(av, tmp_path / "out.mp4")[1] == pytest.approx(at, abs=2e-3)
    assert entry_point(source, tmp_path / "slow.mp4", "fps=2")[0] == 0
    assert shown(av, tmp_path / "slow.mp4")[1] == pytest.approx([0, 0.5, 1, 1.5, 2], abs=2e-3)


def test_odd_sides_grow_by_a_pixel(av, entry_point, tmp_path):
    source = frames(tmp_path / "in", count=2, size=(33, 77))
    assert entry_point(source, tmp_path / "out.mp4")[0] == 0
    assert shown(av, tmp_path / "out.mp4")[0][0].shape == (34, 78, 3)


def test_videos_of_phones_are_upright(av, tmp_path):
    source = film(av, tmp_path / "in.mp4", rotated=90, count=1)
    (frame,) = VideoFrames(source, rate=None, faults=Faults(strict=True))
    assert frame.pixels.shape == (64, 48, 3)
    assert frame.pixels[-4, 24, 1] > 200, "the bar on the left, turned counterclockwise, is below"


def test_a_folder_of_frames_is_a_video_in_the_order_of_its_numbers(av, entry_point, tmp_path):
    source = frames(tmp_path / "in", count=11)
    code, _, err = entry_point(source, tmp_path / "out.mp4", "opacity=0", "fps=10", "batch_size=3")
    assert code == 0, err
    images, times = shown(av, tmp_path / "out.mp4")
    assert times == pytest.approx([i / 10 for i in range(11)], abs=2e-3)
    for index, found in enumerate(images):  # f10 is tenth, not second
        assert np.abs(found.astype(int) - image(index)).mean() < 8


def test_frames_to_frames_need_no_extra(entry_point, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    source = frames(tmp_path / "in", count=2)
    Image.fromarray(image(0, (20, 30))).save(source / "f3.png")  # sizes may differ here
    code, out, _ = entry_point(source, tmp_path / "out", "video=true")
    assert code == 0 and "3 frames segmented" in out
    assert left(tmp_path / "out") == ["f1.jpg", "f2.jpg", "f3.jpg"]
    assert Image.open(tmp_path / "out" / "f3.jpg").size == (30, 20)


def test_frames_of_16_bits_are_as_bright_as_the_images_that_were_trained_on(tmp_path):
    path = tmp_path / "in" / "f1.png"
    path.parent.mkdir()
    Image.fromarray(np.full((4, 6), 2048, np.uint16)).save(path)
    job = video.SegmentVideo(input=str(path.parent), output=str(tmp_path / "out"))
    run = SimpleNamespace(config=OmegaConf.create({"data": {"reader": {"white": 4095}}}))
    (frame,) = job.source(white_of(run))
    assert np.unique(frame.pixels).tolist() == [128]


@pytest.mark.parametrize("names", [("in.mp4", "out"), ("in", "out.mp4")])
def test_without_the_extra_it_is_named(entry_point, tmp_path, monkeypatch, names):
    monkeypatch.setitem(sys.modules, "av", None)
    frames(tmp_path / "in", count=1)
    (tmp_path / "in.mp4").touch()
    code, _, err = entry_point(tmp_path / names[0], tmp_path / names[1])
    assert code == 2 and "pip install -e '.[video]'" in err
    assert left(tmp_path) == ["in", "in.mp4"]


def test_an_unreadable_image_among_frames(entry_point, tmp_path):
    source = frames(tmp_path / "in")
    (source / "f4.png").write_bytes(b"no image")
    code, _, err = entry_point(source, tmp_path / "out", "video=true", "batch_size=2")
    assert code == 2 and "strict=false" in err
    assert f"frame 4 of {source}" in err and "f4.png cannot be decoded" in err
    assert left(tmp_path) == ["in"]
    code, out, _ = entry_point(
        source, tmp_path / "out", "video=true", "batch_size=2", "strict=false"
    )
    assert code == 0 and "9 frames segmented" in out and "1 skipped, the first: frame 4" in out
    assert "f4.jpg" not in left(tmp_path / "out")


def test_an_unreadable_frame_in_a_video(av, entry_point, tmp_path):
    source = broken(film(av, tmp_path / "in.mkv", codec="mpeg4"), 6, av)
    code, _, err = entry_point(source, tmp_path / "out.mp4", "batch_size=2")
    assert code == 2 and f"frame 7 of {source} (at 0.24 s) cannot be decoded" in err
    assert left(tmp_path) == ["in.mkv"]
    code, out, _ = entry_point(source, tmp_path / "out.mp4", "strict=false")
    assert code == 0 and "1 skipped, the first: frame 7" in out
    times = shown(av, tmp_path / "out.mp4")[1]
    assert times == pytest.approx([i / 25 for i in range(10) if i != 6], abs=2e-3)


def test_frames_keep_their_numbers_beside_an_unreadable_one(av, entry_point, tmp_path):
    """H.264 stores frames in another order than that of showing."""
    source = broken(film(av, tmp_path / "in.mp4", count=20), 9, av)
    code, out, _ = entry_point(source, tmp_path / "out", "strict=false")
    assert code == 0 and "1 skipped" in out
    number = int(re.search(r"the first: frame (\d+) of", out)[1])
    names = [f"{n:06d}.jpg" for n in range(1, 21) if n != number]
    assert left(tmp_path / "out") == names


def test_a_video_that_was_cut_short(av, entry_point, tmp_path):
    source = film(av, tmp_path / "in.mp4", count=20)
    with av.open(str(source)) as container:
        ends = [p.pos + p.size for p in container.demux(video=0) if p.size]
    whole = source.read_bytes()
    source.write_bytes(whole[: ends[9]])
    code, _, err = entry_point(source, tmp_path / "out.mp4")
    assert code == 2 and f"{source} is cut short" in err and "of 20" in err
    code, out, _ = entry_point(source, tmp_path / "out.mp4", "strict=false")
    assert code == 0 and "10 frames segmented" in out and "10 skipped" in out
    source.write_bytes(whole[: ends[9] - 5])
    code, _, err = entry_point(source, tmp_path / "again.mp4")
    assert code == 2 and "its data are cut short" in err
    assert left(tmp_path) == ["in.mp4", "out.mp4"]


def test_inputs_without_a_frame(av, entry_point, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.mp4").touch()
    (tmp_path / "text.mkv").write_text("no video")
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate, sound.pts = 8000, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    said = {
        "empty": "no images in that folder",
        "nothing.mp4": "cannot be read as a video",
        "text.mkv": "cannot be read as a video",
        "sound.mkv": "holds no video",
        "absent.mp4": "there is no such video file",
    }
    before = left(tmp_path)
    for name, expected in said.items():
        code, _, err = entry_point(tmp_path / name, tmp_path / "out.mp4")
        assert code == 2 and expected in err and str(tmp_path / name) in err, name
    assert left(tmp_path) == before


def test_all_frames_unreadable(entry_point, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    code, _, err = entry_point(tmp_path / "in", tmp_path / "out", "video=true", "strict=false")
    assert code == 2 and "holds no frame that can be read: frame 1" in err
    assert left(tmp_path) == ["in"]


def test_outputs_that_are_something_else(av, entry_point, tmp_path):
    source = film(av, tmp_path / "in.mp4", count=2)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("mine")
    frames(tmp_path / "full", count=1)
    said = {
        "folder.mp4": "a folder of that name is there",
        "file": "a file of that name is there",
        "full": "a folder with files in it",
        "in.mp4": "is the input itself",
        "out.avi": "videos are written as .mp4",
    }
    before = left(tmp_path)
    for name, expected in said.items():
        code, _, err = entry_point(source, tmp_path / name)
        assert code == 2 and expected in err and f"output={tmp_path / name}" in err, name
    assert left(tmp_path) == before and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("video=yess", "video=yess is not one of auto, true, false"),
        ("fps=0", "`fps=0` does not fit: SegmentVideo needs a number, above 0"),
        (
            "batch_size=0",
            "`batch_size=0` does not fit: SegmentVideo needs a whole number",
        ),
        ("colors=true", "colors=true: of a video, overlaid frames are written"),
    ],
)
def test_values_that_make_no_sense(entry_point, tmp_path, argument, said):
    source = frames(tmp_path / "in", count=1)
    code, _, err = entry_point(
        source, tmp_path / "out", *(["video=true"][: argument[0] != "v"]), argument
    )
    assert code == 2 and said in err


def test_frames_of_two_sizes_make_no_video(av, entry_point, tmp_path):
    source = frames(tmp_path / "in", count=3)
    Image.fromarray(image(0, (20, 30))).save(source / "f4.png")
    (tmp_path / "out.mp4").write_text("of yesterday")
    code, _, err = entry_point(source, tmp_path / "out.mp4")
    assert code == 2 and "frame 4 (f4) is 30x20, the first one 64x48" in err
    assert (tmp_path / "out.mp4").read_text() == "of yesterday"
    assert left(tmp_path) == ["in", "out.mp4"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_video_leaves_nothing(entry_point, tmp_path, monkeypatch, number, code):
    source, write = frames(tmp_path / "in"), video_output.FrameFolder.write

    def stopped(self, frame, pixels):
        write(self, frame, pixels)
        if frame.number == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(video_output.FrameFolder, "write", stopped)
    before = signal.getsignal(signal.SIGTERM)
    # A shell that starts jobs in the background lets them ignore Ctrl-C from birth.
    at_birth = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert entry_point(source, tmp_path / "out", "video=true")[0] == code
    finally:
        signal.signal(signal.SIGINT, at_birth)
    assert left(tmp_path) == ["in"] and signal.getsignal(signal.SIGTERM) is before


def test_what_a_killed_run_left_of_the_same_output_is_removed(tmp_path):
    """Its process is no more: no number of one is as large."""
    (tmp_path / f".out.{whole_files._HOST}-999999999-0a1b2c.part").mkdir()
    with video_output.sink(tmp_path / "out", Fraction(25)):
        pass
    assert left(tmp_path) == ["out"]


def test_frames_are_read_as_they_are_wanted(tmp_path):
    paths = sorted(frames(tmp_path / "in", count=3).iterdir())
    source = iter(ImageFrames(paths, rate=Fraction(25), faults=Faults(strict=True)))
    assert next(source).number == 1
    paths[1].unlink()
    with pytest.raises(Exception, match="frame 2"):
        next(source)


def test_one_batch_and_no_more_is_decoded_ahead():
    begun = []

    def batches():
        for number in range(4):
            begun.append(number)
            if number == 3:
                raise ValueError("the fourth")
            yield [number]

    ahead = decoded_ahead(batches())
    assert next(ahead) == [0] and len(begun) <= 2
    assert [next(ahead), next(ahead)] == [[1], [2]]
    with pytest.raises(ValueError, match="the fourth"):
        next(ahead)
