"""What the machine still has, and what a process took of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken now; on a CPU what the system calls available."""
    if device.type == "cuda":
        # What torch has cached is free for torch.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        return _kilobytes(Path("/proc/meminfo"), "MemAvailable") * 1024
    except OSError:  # not Linux: unknown, and left to the system
        return 2**62


@dataclass
class Mark:
    """How far memory rose; None on systems that do not say."""

    bytes: int | None = None


@contextmanager
def high_water_mark() -> Iterator[Mark]:
    """Follows the memory of this process, everything included, to its peak within the block."""
    mark = Mark()
    if not _RESET.exists():
        yield mark
        return
    _RESET.write_text("5")  # Linux then begins the high-water mark anew
    before = _kilobytes(_STATUS, "VmRSS")
    yield mark
    mark.bytes = (_kilobytes(_STATUS, "VmHWM") - before) * 1024


def _kilobytes(path: Path, key: str) -> int:
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1])
