"""Workers outlive signals to the whole process group, but not their parent."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, time
import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import worker
from segsuite.data.workers import leave_signals_to_the_training

worker.MP_STATUS_CHECK_INTERVAL = 0.2  # how often a worker looks for its parent; torch: 5 s
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
loader = DataLoader(range(10**6), num_workers=1, worker_init_fn=leave_signals_to_the_training)
batches = iter(loader)
next(batches)
if os.fork() == 0:  # from a third process: the parent's own SIGTERM is obeyed
    # Never by the `kill` program: that of procps 4.0.2 takes `-TERM -1234` for every process.
    group = os.getpgrp()
    assert group != 1 and group == os.getppid()
    os.setsid()
    os.killpg(group, signal.SIGINT)
    os.killpg(group, signal.SIGTERM)
    os._exit(0)
os.wait()
time.sleep(0.1)
for _ in range(10):  # more than were fetched ahead
    next(batches)
(process,) = batches._workers
print(process.pid, process.is_alive(), flush=True)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.modules["keeps_it_alive"] = batches  # as a traceback does; Python then ends the worker
"""


def ended(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="senders of signals are unknown")
@pytest.mark.parametrize(("end", "code"), [("exit", 0), ("kill", -signal.SIGKILL)])
def test_workers_outlive_signals_to_the_group_but_not_their_parent(end, code):
    line = [sys.executable, "-c", SCRIPT, end]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=60, start_new_session=True, check=False
    )
    assert done.returncode == code, done.stderr
    pid, alive = done.stdout.split()
    assert alive == "True"
    deadline = time.monotonic() + 10
    while not ended(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(pid)
