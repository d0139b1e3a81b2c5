"""A job's folder is one process's at a time: a sweep may be typed again while a job still runs."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

LOCK = ".lock"


@contextmanager
def held(folder: Path, name: str = LOCK, *, wait: bool = True) -> Iterator[bool]:
    """Waits until no other process holds the folder, and holds it; the system lets go of it
    however a process ends. Gives whether it is held.

    Jobs of joblib outlive a sweep that is killed for a moment, those of Slurm to their end. Where a
    file system has no locks, this is said, and the folder counts as held.

    Args:
        name: file in the folder; those of different names are held independently.
        wait: for the end of another process; without it, False is given at once.
    """
    with open(folder / name, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            log.warning("%s: another process is at work there; waiting for its end", folder.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            log.warning(
                "%s has no locks (%s): type a sweep again only when none of its jobs runs any more",
                *(folder, error.strerror),
            )
        yield True
