"""Memory as the system sees it, which takes a process of its own."""

import subprocess
import sys

import pytest

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the high-water mark in /proc")

_PROGRAM = """
import torch
import torch.nn.functional as F
from segsuite.core.hardware import high_water_mark
torch.manual_seed(0)
torch.set_num_threads(1)
{before}
with high_water_mark() as mark:
    {run}
print(mark.bytes)
"""


def peak_of(run: str, *, before: str) -> int:
    """How many bytes a process rose by while it did `run`, one line, in one thread.

    Args:
        before: lines that import and make inputs; where libraries' own buffers matter, also ones
            that do the same at a small size.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(before=before, run=run)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1])
