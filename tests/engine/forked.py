"""Commands as processes of their own, forked from one that has imported torch and Lightning.

A training spends some six seconds on imports before it does anything. A server, one for each
process of pytest, has spent them, and forks a child for every command: with arguments, an
environment, signals, an exit code and an end of its own, as `python -m MODULE` would have made it.
Two things differ. The child finds its libraries imported, and the random seed of Python's hashes
is that of the server; so what is compared over processes needs one from `entry_points.start` as
well.
"""

import functools
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

IMPORTED = ("segsuite.engine.training", "segsuite.engine.fitting", "segsuite.measure.planned")
"""Nothing that is run as `__main__`, reads a setting, or starts a thread, which forks lose."""


class Forked:
    """A command under way; these are the methods of `subprocess.Popen`.

    Args:
        line: `[sys.executable, "-m", MODULE, *ARGUMENTS]`, to be run where the server is.
    """

    def __init__(
        self, line: list[str], *, env: dict[str, str], start_new_session: bool = False
    ) -> None:
        self.args, self.returncode = line, None
        # Files in memory and not pipes: nobody has to read them while the command writes.
        self._printed = [os.memfd_create("stdout"), os.memfd_create("stderr")]
        self._numbers, theirs = os.pipe()
        task = json.dumps([line, env, start_new_session]).encode()
        socket.send_fds(_server()[0], [task], [*self._printed, theirs])
        os.close(theirs)
        self.pid = _read(self._numbers)

    def poll(self) -> int | None:
        try:
            return self.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._numbers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = _read(self._numbers)
            os.close(self._numbers)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        texts = []
        for file in self._printed:
            with open(file) as handle:
                handle.seek(0)
                texts.append(handle.read())
        return texts[0], texts[1]

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _read(pipe: int) -> int:
    return struct.unpack("i", os.read(pipe, 4))[0]


@functools.cache
def _server() -> tuple[socket.socket, subprocess.Popen]:
    """What it hears commands from, and itself; it ends with this process, which has the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(theirs.fileno())],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    theirs.close()
    return ours, process


def _serve(commands: socket.socket) -> tuple[bytes, list[int]]:
    """A command and its file descriptors, in a child of its own for each; the server never returns.

    Between the two is a process that waits for the child, as a shell would.
    """
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the commands
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # and nobody waits for those who wait
    while True:
        task, files, _, _ = socket.recv_fds(commands, 2**20, 3)
        if not task:
            sys.exit()
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    commands.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return task, files
    _, status = os.waitpid(child, 0)
    os.write(files[-1], struct.pack("i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(task: bytes, files: list[int]) -> str:
    """Makes this process that of the command; the module to run."""
    line, environment, new_session = json.loads(task)
    out, err, numbers = files
    os.dup2(out, 1)
    os.dup2(err, 2)
    if new_session:
        os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    sys.orig_argv[:] = line
    sys.argv[1:] = line[3:]
    os.write(numbers, struct.pack("i", os.getpid()))
    for file in files:
        os.close(file)
    return line[2]


if __name__ == "__main__":
    asked = _become(*_serve(socket.socket(fileno=int(sys.argv[1]))))
    runpy.run_module(asked, run_name="__main__", alter_sys=True)
