"""Entry points run as users run them, with the toy network and data."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hydra._internal.hydra import Hydra

from tests.engine.forked import Forked

ROOT = Path(__file__).parents[2]
TOY = ("method=toy", "data=toy", "allow=[tests.]", "trainer=cpu")
SHORT = (
    "trainer.max_steps=24",
    "trainer.val_check_interval=12",
    "trainer.log_every_n_steps=2",
    "callbacks.checkpoint.every=5",
    "callbacks.images=null",
)


def command(entry_point: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"segsuite.{entry_point}", *arguments]


def training(logs: Path, *arguments: str, multirun: bool = False) -> list[str]:
    """The command line of a short training of the toy network."""
    flags = ["--config-dir", str(ROOT / "tests" / "conf"), *(["-m"] if multirun else [])]
    return command("train", *flags, *TOY, *SHORT, f"paths.logs={logs}", *arguments)


def start(line: list[str], **options: Any) -> subprocess.Popen:
    """An entry point begun as a shell begins it, imports and all."""
    options = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, **options}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, cwd=ROOT, **pipes, **options)


def fork(line: list[str], *, signal: str = "", **options: Any) -> Forked | subprocess.Popen:
    """An entry point begun at once; `signal` is "iteration:number" of one that it shall get."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOY_SIGNAL": signal or "-1:0"}
    begin = Forked if sys.platform == "linux" else start
    return begin(line, env=environment, **options)


def run(line: list[str], *, signal: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of an entry point."""
    process = fork(line, signal=signal)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def called(main: Callable[[], None], *arguments: str) -> int:
    """The exit code of an entry point in this process."""
    before, sys.argv = sys.argv, [main.__module__, *arguments]
    # Hydra composes the whole config only to read its `hydra.mode`, which stands nowhere here.
    unset = mock.patch.object(Hydra, "get_mode", lambda *_, **__: None)
    try:
        with unset:
            main()
    except SystemExit as stop:
        return stop.code
    finally:
        sys.argv = before
    return 0


def only(folder: Path, pattern: str) -> Path:
    """The one path that matches."""
    (found,) = folder.glob(pattern)
    return found
