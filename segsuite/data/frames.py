"""Videos as frames: decoded one after another, from a video file or from a folder of images.

PyAV (the extra `video`) reads video files, and is imported only then.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import DataError, MissingExtra
from segsuite.data.readers.decode import decode_image

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".gif"}
)


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        number: number of the frame, from 1; frames that could not be read have numbers too.
        seconds: time at which it is shown, counted from the first frame on.
        pixels: (H, W, 3) uint8 RGB.
        name: what a file of it is called, without a suffix.
    """

    number: int
    seconds: float
    pixels: NDArray[np.uint8]
    name: str


class Faults:
    """What happens to frames that cannot be read: the first is an error, or all are counted."""

    def __init__(self, *, strict: bool) -> None:
        self.strict, self.count, self.first = strict, 0, ""

    def met(self, message: str, *, frames: int = 1) -> None:
        """Counts them, or raises DataError if strict."""
        if self.strict:
            raise DataError(f"{message}; type strict=false to skip what cannot be read")
        self.count += frames
        self.first = self.first or message


class FrameSource(Protocol):
    """Frames one after another.

    Attributes:
        rate: frames a second.
        count: how many frames there probably are; None when the file does not say.
    """

    rate: Fraction
    count: int | None

    def __iter__(self) -> Iterator[Frame]: ...


class ImageFrames:
    """Images as a video, in the order of the numbers in their names: frame2 before frame10.

    Args:
        white: the value that is white in grey images with more than 8 bits; see `decode_image`.

    Raises, while it is gone through:
        DataError: naming file and frame number, when one cannot be decoded and faults are strict.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        rate: Fraction,
        faults: Faults,
        white: float | None = None,
    ) -> None:
        self.paths = sorted(paths, key=lambda path: _in_order(path.name))
        self.rate, self.count, self.faults = rate, len(self.paths), faults
        self._white = white

    def __iter__(self) -> Iterator[Frame]:
        for number, path in enumerate(self.paths, 1):
            try:
                pixels = decode_image(path, white=self._white)
            except DataError as error:
                self.faults.met(f"frame {number} of {path.parent}: {error}")
                continue
            yield Frame(number, float((number - 1) / self.rate), pixels, path.stem)


class VideoFrames:
    """The frames of a video file's first video stream, upright; sound is not read.

    Args:
        rate: frames a second instead of those of the file.

    Raises:
        MissingExtra: PyAV is not installed.
        DataError: the file is absent, no video, or without a video stream; while it is gone
            through, naming file and frame number, when a frame cannot be decoded or the file ends
            before its time, and faults are strict.
    """

    def __init__(self, path: Path, *, rate: Fraction | None, faults: Faults) -> None:
        self.path, self.faults, self._given = path, faults, rate
        with self._opened() as container:
            stream = container.streams.video[0]
            self.rate = rate or stream.average_rate or stream.guessed_rate or Fraction(25)
            self.count = stream.frames or None

    def __iter__(self) -> Iterator[Frame]:
        read, begin, last = 0, None, None
        lost: list[int] = []  # times of frames that could not be read, on the stream's clock
        with self._opened() as container:
            stream = container.streams.video[0]
            # Not whole frames: an error would be told several packets after the broken one.
            stream.thread_type = "SLICE"
            for packet in container.demux(stream):
                for decoded in self._decoded(packet, stream, lost, read):
                    if decoded.is_corrupt:
                        self._unreadable(decoded, stream, lost, read, "its data are damaged")
                        continue
                    read, last = read + 1, decoded.pts
                    # Decoders hand frames out late: the lost one may come after this one.
                    number = read + sum(last is None or time < last for time in lost)
                    seconds = decoded.time
                    if self._given is not None or seconds is None:
                        seconds = float((number - 1) / self.rate)
                    begin = seconds if begin is None else begin
                    yield Frame(number, seconds - begin, _upright(decoded), f"{number:06d}")
            self._check_end(stream, last, read)

    def _decoded(self, packet: Any, stream: Any, lost: list[int], read: int) -> Sequence[Any]:
        """The frames that a packet completes; its own time goes to `lost` when it is unreadable."""
        import av

        try:
            if packet.is_corrupt:  # cut short; decoders would make an image of it nevertheless
                raise ValueError("its data are cut short")
            return packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            self._unreadable(packet, stream, lost, read, why)
            return ()

    def _unreadable(self, what: Any, stream: Any, lost: list[int], read: int, why: Any) -> None:
        number, when = _placed(what, stream, read + len(lost) + 1)
        lost.append(-1 if what.pts is None else what.pts)
        self.faults.met(f"frame {number} of {self.path}{when} cannot be decoded ({why})")

    def _check_end(self, stream: Any, last: int | None, read: int) -> None:
        """Files that were cut short end without an error; their heads know how long they were.

        Both are asked: trimmed videos hold more frames than they show, but know their duration.
        """
        missing = stream.frames - read - self.faults.count
        if missing <= 0 or last is None or stream.duration is None or not stream.average_rate:
            return
        end = (stream.start_time or 0) + stream.duration
        if (end - last) * stream.time_base * stream.average_rate > 2:
            self.faults.met(
                f"{self.path} is cut short: it ends before frame {read + self.faults.count + 1} "
                f"of {stream.frames}",
                frames=missing,
            )

    def _opened(self) -> Any:
        av = pyav()
        if not self.path.is_file():
            raise DataError(f"input={self.path}: there is no such video file")
        try:
            container = av.open(str(self.path))
        except (av.error.FFmpegError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise DataError(f"{self.path} cannot be read as a video ({why})") from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{self.path} holds no video, only sound or other data")
        return container


def pyav() -> Any:
    """The module `av`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtra("PyAV, which reads and writes video files,", "video") from error
    return av


def _placed(what: Any, stream: Any, counted: int) -> tuple[int, str]:
    """The number of a frame or of a packet's frame, and when it would be shown, for people.

    Packets are not stored in the order of showing, so that their time says more than counting,
    unless it is far off: then the video has no steady rate.
    """
    if what.pts is None:
        return counted, ""
    seconds = (what.pts - (stream.start_time or 0)) * what.time_base
    by_time = round(seconds * stream.average_rate) + 1 if stream.average_rate else counted
    reordered = 16  # frames at most, as H.264 and H.265 have it
    number = by_time if abs(by_time - counted) <= reordered else counted
    return number, f" (at {float(seconds):.2f} s)"


def _upright(decoded: Any) -> NDArray[np.uint8]:
    """RGB as players show it: phones store how they were held, not what is up."""
    pixels = decoded.to_ndarray(format="rgb24")
    turns = round(decoded.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _in_order(name: str) -> list[tuple[int, str]]:
    """Sorts numbers by value and the rest by letters."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", name) if p]
