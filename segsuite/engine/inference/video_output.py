"""Where the frames of a segmented video go: a video file, or a folder of images.

Both are whole or absent. PyAV (the extra `video`) writes video files, and is imported only then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.files import folder_written_whole, remove_leftovers, written_whole
from segsuite.data.frames import VIDEO_SUFFIXES, Frame, pyav

ENCODERS = {**dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv"), "libx264"), ".webm": "libvpx-vp9"}
"""What a video file's images are encoded by."""
_CLOCK = 90_000
"""Ticks a second: the usual clock of videos, in which every usual frame rate is a whole number."""
_BT601, _LIMITED = 5, 1
"""FFmpeg's names for how its own conversion from RGB makes YUV, for players to undo it."""


def check_output(output: Path, source: Path) -> None:
    """Raises ConfigError if a video from `source` cannot be written there."""
    suffix = output.suffix.lower()
    if output.resolve() == source.resolve():
        raise ConfigError(f"output={output} is the input itself; give another output")
    if suffix in ENCODERS:
        pyav()
        if output.exists() and not output.is_file():
            raise ConfigError(
                f"output={output} would be a video file, but a folder of that name is there; "
                "give another output"
            )
        return
    if suffix in VIDEO_SUFFIXES:
        raise ConfigError(
            f"output={output}: videos are written as {', '.join(ENCODERS)}, not {suffix}"
        )
    if output.exists() and not output.is_dir():
        raise ConfigError(
            f"output={output} would be a folder of frames, but a file of that name is there; "
            f"give another output, or one that ends in {', '.join(ENCODERS)} for a video"
        )
    if output.is_dir() and any(output.iterdir()):
        raise ConfigError(
            f"output={output} is a folder with files in it, among which frames would get lost; "
            "give a new folder, or empty that one"
        )


@contextmanager
def sink(output: Path, rate: Fraction) -> "Iterator[VideoFile | FrameFolder]":
    """A video file or a folder of frames, by the name; there once the block ended well.

    Both take frames in their order by `write`, as (H, W, 3) uint8 RGB.
    """
    if output.suffix.lower() in ENCODERS:
        remove_leftovers(output.parent)
        with written_whole(output) as beside, VideoFile(beside, rate=rate) as file:
            yield file
    else:
        with folder_written_whole(output) as beside:
            yield FrameFolder(beside)


class FrameFolder:
    """Frames as JPEG images: to be looked at, and a tenth of the time that PNG takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        Image.fromarray(pixels).save(self.folder / f"{frame.name}.jpg", quality=92)


class VideoFile:
    """Frames as a video without sound; each is shown when it was in the source.

    Odd sides grow by one row or column that repeats the last: colours are stored for 2x2 pixels.

    Raises, from `write`:
        DataError: a frame is of another size than the first.
    """

    def __init__(self, path: Path, *, rate: Fraction) -> None:
        self.path, self.rate = path, rate
        self._stream: Any = None
        self._size: tuple[int, ...] = ()  # of the first frame
        self._tick = -1

    def __enter__(self) -> Self:
        self._container = pyav().open(str(self.path), "w")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        if self._stream is None:
            self._size = pixels.shape[:2]
            self._stream = self._begun(*self._size)
        if pixels.shape[:2] != self._size:
            got, first = (f"{size[1]}x{size[0]}" for size in (pixels.shape[:2], self._size))
            raise DataError(
                f"frame {frame.number} ({frame.name}) is {got}, the first one {first}: a video has "
                "one size; give output=FOLDER to get images, or frames of one size"
            )
        height, width = self._size
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        image = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        # Two frames of one time, as some cameras write them, would be refused by encoders.
        self._tick = max(round(frame.seconds * _CLOCK), self._tick + 1)
        image.pts, image.time_base = self._tick, Fraction(1, _CLOCK)
        self._container.mux(self._stream.encode(image))

    def _begun(self, height: int, width: int) -> Any:
        stream = self._container.add_stream(ENCODERS[self.path.suffix.lower()], rate=self.rate)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _CLOCK)
        context.colorspace, context.color_range = _BT601, _LIMITED
        return stream
