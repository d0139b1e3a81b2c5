"""What a machine ran out of, said in one paragraph with what to type. Imports nothing heavy.

Memory, disk, files and processes end a run that was asked for rightly; what was saved stays, since
checkpoints are written beside and renamed.
"""

import errno
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segsuite.core.errors import SegsuiteError
from segsuite.engine.launch.folders import goes_on_from

_DEVICE = re.compile(r"CUDA out of memory|CUDA error: out of memory|\w+_STATUS_ALLOC_FAILED")
_MEMORY = re.compile(r"can't allocate memory|not enough memory|[Cc]annot allocate memory")
_SHARED = re.compile(
    r"out of shared memory|unable to (mmap|open shared memory|write to file </torch|allocate sh)"
)
_WORKER = re.compile(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (is killed|exited unexpectedly)")
_WRITING = re.compile(r"PytorchStreamWriter failed writing|file write failed")
_PEER = re.compile(r"gloo.*(closed|reset|timed out|timeout)|NCCL|ProcessGroup", re.IGNORECASE)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Exhausted(SegsuiteError):
    """The machine ran out of something that a run needs."""


class LostProcesses(logging.Handler):
    """Says what Lightning says to a log alone, right before it kills what is left of a run.

    Its first process looks every five seconds whether one of the others has died.
    """

    logger = "lightning.fabric.strategies.launchers.subprocess_script"

    @classmethod
    def listen(cls) -> None:
        """Begins once, however often it is called."""
        logger = logging.getLogger(cls.logger)
        if not any(isinstance(handler, cls) for handler in logger.handlers):
            logger.addHandler(cls())
        logger.setLevel(logging.INFO)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        if match := re.search(r"PID (\d+) terminated with code (-?\d+)", record.getMessage()):
            print(
                f"segsuite: error: process {match[1]} of this run has ended with code {match[2]}, "
                "and the others are ended too; what it said stands above, and code -9 without a "
                "word is mostly the system's, for want of memory: type a smaller "
                "data.batch_size or data.num_workers. What was saved last is "
                "whole; to go on from it, add resume=true",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def exhaustion_explained(cfg: Any, folder: Path) -> Iterator[None]:
    """Raises `Exhausted` in place of what libraries raise when memory, disk or a process is gone.

    Args:
        cfg: the job's config, for the settings that need less.
        folder: folder of the run.
    """
    try:
        yield
    except SegsuiteError:
        raise
    except Exception as error:
        if (what := exhausted(error, cfg, folder)) is None:
            raise
        last = folder / goes_on_from(folder)
        left = f". What was saved last is whole: {last}; to go on from it, add resume=true"
        raise Exhausted(what + (left if last.exists() else "")) from error


def exhausted(error: BaseException, cfg: Any, folder: Path) -> str | None:
    """What ran out and what to type, or None where that is not why."""
    said = str(error)
    kind = type(error).__name__
    if _SHARED.search(said):
        return (
            f"shared memory (/dev/shm) ran out ({_first_line(said)}): type a smaller "
            f"{_typed(cfg, 'data.num_workers')}, or start the container with more, such as "
            "--shm-size=8g"
        )
    if _WORKER.search(said):
        return (
            f"a worker that loads data was ended from outside ({_first_line(said)}), mostly "
            f"because memory ran out: type a smaller {_typed(cfg, 'data.num_workers')} or "
            f"{_typed(cfg, 'data.batch_size')}"
        )
    if _DEVICE.search(said) or kind in ("OutOfMemoryError", "OutOfMemory"):
        return f"the GPU's memory ran out ({_first_line(said)}): {_smaller(cfg)}"
    if isinstance(error, MemoryError) or _MEMORY.search(said):
        said = f" ({_first_line(said)})" if said else ""
        return f"the computer's memory ran out{said}: {_smaller(cfg)}"
    number = _number(error)
    if number in _FULL or _WRITING.search(said):
        place = getattr(error, "filename", None) or folder
        return (
            f"{place} cannot be written, since the disk or its quota is full "
            f"({_first_line(said)}): make room there, or type paths.logs=FOLDER on another disk"
        )
    if number == errno.EMFILE or "Too many open files" in said or "received 0 items of" in said:
        return (
            f"too many files are open at once ({_first_line(said)}): type a smaller "
            f"{_typed(cfg, 'data.num_workers')}, or `ulimit -n 65536` before"
        )
    if _PEER.search(said):
        return (
            f"another process of this run has ended ({_first_line(said)}): its own message stands "
            "above, and where there is none, it was killed, mostly because memory ran out; "
            f"{_smaller(cfg)}"
        )
    return None


def _smaller(cfg: Any) -> str:
    """What takes less memory, with what it is now, as far as this entry point has it."""
    keys = ("data.batch_size", "data.eval_batch_size", "data.crop_size", "batch_size", "size")
    keys += ("batch_sizes", "inference.batch")
    there = [typed for key in keys if (typed := _typed(cfg, key, missing=""))]
    return f"type a smaller {' or '.join(there)}" if there else "give it less at once"


def _typed(cfg: Any, key: str, *, missing: str | None = None) -> str:
    """ "data.batch_size (now 8)"; `missing` where the config has no such key."""
    from omegaconf import OmegaConf

    value = OmegaConf.select(cfg, key)
    if value is None:
        return key if missing is None else missing
    return f"{key} (now {str(value).replace(' ', '')})"


def _number(error: BaseException) -> int | None:
    """The system's number of what went wrong; from a loader's worker it comes as text alone."""
    match = re.search(r"\[Errno (\d+)\]", str(error))
    own = error.errno if isinstance(error, OSError) else None
    return own or (int(match[1]) if match else None)


def _first_line(said: str) -> str:
    """The first two sentences of a library, before it lists addresses."""
    lines = said.strip().splitlines() or [""]
    return ". ".join(lines[0].split(". ")[:2])[:200].rstrip(" .")
