"""From a video to an overlaid video, a few frames at a time."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.progress import track

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.hints import Above, Count, Share
from segsuite.data.frames import (
    VIDEO_SUFFIXES,
    Faults,
    Frame,
    FrameSource,
    ImageFrames,
    VideoFrames,
)
from segsuite.data.palette import overlay
from segsuite.engine.inference.answers import Answer
from segsuite.engine.inference.inputs import frames_of, input_and_output
from segsuite.engine.inference.prediction import Predictor
from segsuite.engine.inference.video_output import check_output, sink

_IMAGES_RATE = Fraction(25)


@dataclass
class Speed:
    """Frames and seconds, batch by batch.

    Attributes:
        network: seconds of images on the device to answers on the device, of each batch.
        frames: number of frames in each batch.
        everything: seconds from the first frame's decoding to the finished output.
    """

    network: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    everything: float = 0.0

    @property
    def network_rate(self) -> float:
        """Frames a second; without the first batch, in which libraries wake up, if there are more.

        The clock stops only when the device is done. What the encoder still does in threads of its
        own is not kept off the cores meanwhile.
        """
        first = 1 if len(self.frames) > 1 else 0
        return sum(self.frames[first:]) / sum(self.network[first:])

    @property
    def rate(self) -> float:
        """Frames a second, decoding, overlaying and encoding included, from first to last."""
        return sum(self.frames) / self.everything


@dataclass(frozen=True)
class Segmented:
    """What became of a video; as text, a line for people."""

    output: Path
    speed: Speed
    faults: Faults

    def __str__(self) -> str:
        lines = [
            f"{sum(self.speed.frames)} frames segmented: {self.output}",
            f"{self.speed.network_rate:.2f} frames/s by the network alone, "
            f"{self.speed.rate:.2f} frames/s with everything (decoding, overlay, encoding)",
        ]
        if self.faults.count:
            lines.insert(1, f"{self.faults.count} skipped, the first: {self.faults.first}")
        return "\n".join(lines)


def is_video(video: Any, *named: Any) -> bool:
    """Whether input and output are to be taken as a video.

    Args:
        video: auto, true or false.
        named: input and output as they are typed, which say it by their suffixes.

    Raises:
        ConfigError: `video` is none of auto, true, false.
    """
    if isinstance(video, bool):
        return video
    if video != "auto":
        raise ConfigError(f"video={video} is not one of auto, true, false")
    return any(Path(str(name)).suffix.lower() in VIDEO_SUFFIXES for name in named)


class SegmentVideo:
    """Writes an overlaid video, or the folder of its frames, whole or not at all.

    Args:
        input: a video file, or frames as a folder of images or a glob.
        output: a video file, or a new folder for the frames.
        fps: frames a second; None for those of the file, and 25 for images.
        batch_size: how many frames are segmented together.
        opacity: opacity of the classes' colours.
        strict: whether a frame that cannot be read is an error; else it is skipped and counted.
        colors: not of videos.

    Raises:
        ConfigError: input and output are not given or do not fit together.
    """

    def __init__(
        self,
        *,
        input: Any,
        output: Any,
        fps: Annotated[float, Above(0, 1000)] | None = None,
        batch_size: Count = 8,
        opacity: Share = 0.5,
        strict: bool = True,
        colors: bool = False,
    ) -> None:
        wanted = "input=VIDEO or FOLDER, and output=FILE.mp4 or FOLDER"
        self.given, self.output = input_and_output(input, output, wanted=wanted)
        if colors:
            raise ConfigError("colors=true: of a video, overlaid frames are written and no masks")
        # 29.97 is meant as 30000/1001, which no short decimal says exactly.
        self.rate = None if fps is None else Fraction(fps).limit_denominator(1001)
        self.batch_size, self.opacity = batch_size, opacity
        self.faults = Faults(strict=strict)

    def __call__(self, load: Callable[[], Predictor], *, white: float | None = None) -> Segmented:
        """Segments all frames.

        Args:
            load: gives what labels them, once it is known that there are some.
            white: what is white in 16-bit images.

        Raises:
            MissingExtra: a video file is to be read or written, and PyAV is not installed.
            DataError: the input holds no frame, or one that cannot be read if `strict`.
        """
        faults = self.faults
        check_output(self.output, Path(self.given).expanduser())
        source = self.source(white)
        predictor, speed, begun = load(), Speed(), time.perf_counter()
        colors = predictor.classes.colors
        with _ended_by_sigterm(), sink(self.output, source.rate) as to:
            for frame, answer in _answered(source, self.batch_size, predictor, speed):
                image, (labels, instances) = frame.pixels.transpose(2, 0, 1), answer.drawn
                to.write(frame, overlay(image, labels, colors, self.opacity, instances=instances))
            if not speed.frames:
                said = f": {faults.first}" if faults.count else ""
                raise DataError(f"input={self.given} holds no frame that can be read{said}")
        speed.everything = time.perf_counter() - begun
        return Segmented(self.output, speed, faults)

    def source(self, white: float | None) -> FrameSource:
        """The frames of the input, one by one."""
        path = Path(self.given).expanduser()
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir():
            return VideoFrames(path, rate=self.rate, faults=self.faults)
        rate = self.rate or _IMAGES_RATE
        return ImageFrames(frames_of(self.given), rate=rate, faults=self.faults, white=white)


def _answered(
    source: FrameSource, batch_size: int, predictor: Predictor, speed: Speed
) -> Iterator[tuple[Frame, Answer]]:
    """Each frame with its answer on the CPU; beside a GPU the next are decoded meanwhile."""
    device = predictor.device
    frames = iter(source)
    batches = iter(lambda: list(islice(frames, batch_size)), [])  # until there is none
    if device.type != "cpu":  # there it would take the network's own cores, and spoil its figure
        batches = decoded_ahead(batches)
    total = -(-source.count // batch_size) if source.count else None
    for batch in track(batches, "segmenting", total=total, console=Console(stderr=True)):
        images = [torch.from_numpy(frame.pixels).permute(2, 0, 1) for frame in batch]
        sizes = [tuple(image.shape[-2:]) for image in images]
        shown = [predictor.shown(image) for image in images]
        _finish(device)
        begun = time.perf_counter()
        answers = predictor.answers(shown, sizes)
        _finish(device)
        speed.network.append(time.perf_counter() - begun)
        speed.frames.append(len(batch))
        yield from zip(batch, (answer.cpu() for answer in answers), strict=True)


def decoded_ahead(batches: Iterator[list[Frame]]) -> Iterator[list[Frame]]:
    """The same, but the next one is made in a thread while the last one is worked on."""
    with ThreadPoolExecutor(1, "decoding") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM becomes an exception, so that what is half-written is removed on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
