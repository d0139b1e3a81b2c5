"""What the machine still has, and what a process took of it."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from segsuite.core.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]

_GROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file", "active_file"),
    "memory": (
        *("memory.limit_in_bytes", "memory.usage_in_bytes"),
        *("total_inactive_file", "total_active_file"),
    ),
}
"""Of a control group of version 2 and 1: its limit, what it uses, and how much of that can go."""

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def device_of(name: Device) -> torch.device:
    """Where to run: `auto` is a GPU where torch finds one.

    Raises:
        ConfigError: a GPU was asked for that is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device=cuda, but torch finds no GPU here; type device=cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken now; on a CPU what the system calls available.

    In a container, or a scheduler's job, no more than it leaves.
    """
    if device.type == "cuda":
        # What torch has cached is free for torch.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        return min(_number(Path("/proc/meminfo"), "MemAvailable") * 1024, *_left_by_groups())
    except OSError:  # not Linux: unknown, and left to the system
        return 2**62


def _left_by_groups(
    process: Path = Path("/proc/self/cgroup"), top: Path = Path("/sys/fs/cgroup")
) -> list[int]:
    """What each control group that this process is in leaves of its limit; version 2 and 1."""
    left = [2**62]
    lines = process.read_text().splitlines() if process.exists() else []
    for line in lines:
        _, kind, path = line.split(":", 2)
        if kind not in ("", "memory"):
            continue
        root = top / kind
        limit, used, *cached = _GROUP_FILES[kind]
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                with suppress(OSError, ValueError):  # no limit: no such file, or "max" in it
                    free = int((folder / limit).read_text()) - int((folder / used).read_text())
                    stat = folder / "memory.stat"
                    left.append(free + sum(_number(stat, key, mark=" ") for key in cached))
    return left


@dataclass
class Mark:
    """How far memory rose; None on systems that do not say."""

    bytes: int | None = None


@contextmanager
def high_water_mark() -> Generator[Mark]:
    """Follows the memory of this process, everything included, to its peak within the block."""
    mark = Mark()
    if not _RESET.exists():
        yield mark
        return
    _RESET.write_text("5")  # Linux then begins the high-water mark anew
    before = _number(_STATUS, "VmRSS")
    yield mark
    mark.bytes = (_number(_STATUS, "VmHWM") - before) * 1024


def _number(path: Path, key: str, *, mark: str = ":") -> int:
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(f"{key}{mark}"))
    return int(line.split()[1])
