"""Files and folders that are either whole or absent: written beside, then renamed."""

import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def _host() -> str:
    """Where the number of a process means that process: a node, its boot, a container's processes.

    Two containers or pods may bear one name, or see the processes of one kernel apart.
    """
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    marks = [platform.node()]
    for mark in (boot.read_text, lambda: os.readlink(processes)):
        with suppress(OSError):  # not Linux
            marks.append(mark())
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:10]


_HOST = _host()
_DRAWN = secrets.token_hex(3)
"""In containers every process may have the same number, and on a shared disk no host is alone."""
_PART = re.compile(r"\.([^.]+)-(\d+)-([0-9a-f]{6})\.part")
_STALE = 24 * 3600.0
"""Seconds without a change after which another host's writer, or an earlier boot's, is gone."""


def _writer() -> str:
    return f"{_HOST}-{os.getpid()}-{_DRAWN}"


# Not by age alone, which would be shorter: what a killed training was writing is gigabytes, and is
# to go at its next start and not after a day; and a day's pause of a slow writer must not cost its
# file.
def remove_leftovers(folder: str | Path) -> None:
    """Removes what processes that are no more were writing into `folder`.

    Of other hosts' processes nothing is known: what they wrote goes a day after its last change.
    """
    for path in Path(folder).glob(".*.part*"):
        writer = _PART.search(path.name)
        with suppress(OSError):  # renamed or removed by its writer meanwhile, or another user's
            if writer is None or _is_written(path, writer):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _is_written(path: Path, writer: re.Match[str]) -> bool:
    """Whether somebody may still be writing it."""
    if writer[1] == _HOST:
        return _lives(int(writer[2]), writer[3])
    return time.time() - path.stat().st_mtime < _STALE


def _lives(process: int, drawn: str) -> bool:
    """Whether that process of this host is still there."""
    if process == os.getpid():
        return drawn == _DRAWN
    if os.name != "posix":  # where signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _short(stem: str) -> str:
    """So that a name with what is added fits into the 255 bytes of most file systems."""
    if len(os.fsencode(stem)) <= 180:
        return stem
    return f"{stem[:40]}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:16]}"


@contextmanager
def written_whole(path: str | Path) -> Generator[Path]:
    """A temporary path beside `path`; renamed onto it when the block ends well, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as matplotlib and PIL choose the format by it.
    beside = path.with_name(f".{_short(path.stem)}.{_writer()}.part{path.suffix}")
    try:
        yield beside
        with open(beside, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: str | Path) -> Generator[Path]:
    """A temporary folder beside `path`; renamed onto it when the block ends well, else removed.

    `path` must be absent or an empty folder by then: OSError otherwise.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    beside = path.with_name(f".{_short(path.name)}.{_writer()}.part")
    beside.mkdir()
    try:
        yield beside
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all; `null` for numbers that JSON lacks."""
    with written_whole(path) as beside:
        beside.write_text(json.dumps(_in_json(value), indent=2, allow_nan=False) + "\n")


def _in_json(value: Any) -> Any:
    """The same without infinite and undefined numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _in_json(child) for key, child in value.items()}
    return [_in_json(child) for child in value] if isinstance(value, list | tuple) else value
