"""Many files written side by side; a run that was killed goes on where it stopped."""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import DataError
from segsuite.core.files import write_json, written_whole

_AHEAD = 8
"""Tasks that wait for each worker: enough to keep it busy, few enough to hold in memory."""


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Makes the folder, or finds that it was begun with the same settings.

    Raises:
        DataError: it was begun with others: files of both kinds would lie side by side.
    """
    record = folder / "preparation.json"
    if record.exists():
        there = _begun_with(record)
        differing = [
            f"{key}={there.get(key)}" if not isinstance(value, Mapping) else f"other {key}"
            for key, value in settings.items()
            if there.get(key) != value
        ]
        if differing:
            raise DataError(
                f"{folder} was begun with {', '.join(differing)}; delete it, or choose another "
                "folder"
            )
    for cut in folder.glob("**/.*.part*"):  # of a run that was killed
        cut.unlink()
    write_json(record, dict(settings))


def _begun_with(record: Path) -> Mapping[str, Any]:
    try:
        there = json.loads(record.read_text())
    except ValueError:
        there = None
    if not isinstance(there, Mapping):
        raise DataError(
            f"{record} is damaged, so that nobody knows what the masks beside it were made from; "
            f"delete {record.parent}, and type the command again"
        )
    return there


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """What identifies the content of each file, by its name.

    Raises:
        DataError: one is not there.
    """
    hashes = {}
    for path in paths:
        if not path.is_file():
            raise DataError(f"there is no annotation file {path}")
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "md5").hexdigest()
    return hashes


def write_mask(path: Path, raw: NDArray[Any]) -> None:
    """Writes ids as a PNG of 8 or 16 bits, by their data type; whole or not at all."""
    with written_whole(path) as beside:
        Image.fromarray(raw).save(beside)


def in_parallel(
    work: Callable[..., None], tasks: Iterable[tuple[Any, ...]], workers: int
) -> Iterator[None]:
    """Calls `work(*task)` for each task, in that many processes; yields as each one ends.

    Raises:
        DataError: a process was killed.
        Whatever `work` raises, as soon as it is known.
    """
    if workers <= 1:
        for task in tasks:
            work(*task)
            yield
        return
    context = multiprocessing.get_context("spawn")  # forks of a process with threads may hang
    with ProcessPoolExecutor(workers, context, _follow_the_parent) as pool:
        pending: set[Future[None]] = set()
        try:
            for task in tasks:
                pending.add(pool.submit(work, *task))
                if len(pending) >= _AHEAD * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            done, pending = wait(pending)
            yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise DataError(
                "a process was killed, perhaps for want of memory; to go on, type the command "
                "again, with fewer --workers"
            ) from error
        finally:
            for future in pending:
                future.cancel()


def _follow_the_parent() -> None:
    """Leaves Ctrl-C, which reaches every process of a terminal, to the parent, and ends with it.

    Python's own would wait for work for ever when the parent was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def with_progress(steps: Iterator[None], *, total: int, title: str) -> int:
    """Goes through the steps under a progress bar; how many there were."""
    from rich.progress import track

    return sum(1 for _ in track(steps, total=total, description=title))
