"""Kills a sweep in its middle and types it again: does it end as one that was never killed?

    python scripts/kill_sweep.py basic
    python scripts/kill_sweep.py joblib hydra.launcher.n_jobs=2
    python scripts/kill_sweep.py submitit_local hydra.launcher.timeout_min=20

Six short trainings on drawn scenes. The process that was typed is killed with -9 once two jobs
have finished and a third has begun. Ends with an error unless all metrics but speeds and all best
weights are equal and no file of a finished job has changed. Takes some minutes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

SWEEP = (
    *("-m", "experiment=quickstart", "name=killed", "data.crop_size=[64,64]", "trainer=cpu"),
    *("trainer.max_steps=30", "trainer.val_check_interval=15", "callbacks.checkpoint.every=5"),
    *("callbacks.speed=null", "callbacks.images=null", "data.reader.lengths={train: 8, val: 3}"),
    *("data.batch_size=2", "data.num_workers=1", "method.backbone.dim=48"),
    *("method.backbone.depth=6", "method.sharing.windows=0,0.15,0.3", "seed=0,1"),
)


def command(launcher: str, typed: Sequence[str], logs: Path) -> list[str]:
    """The sweep as it is typed."""
    line = [sys.executable, "-m", "segsuite.train", *SWEEP, f"hydra/launcher={launcher}", *typed]
    return [*line, f"paths.logs={logs}"]


def started(line: list[str], log: Path) -> subprocess.Popen:
    """The sweep, in a session of its own, so that what it starts is not killed with it."""
    with log.open("w") as told:
        return subprocess.Popen(line, stdout=told, stderr=told, start_new_session=True)


def results(logs: Path) -> dict[str, dict[str, float]]:
    """The metrics of each finished job but its speeds, which differ each time."""
    found = {}
    for path in logs.glob("sweeps/killed/*/result.json"):
        metrics = json.loads(path.read_text())["metrics"]
        found[path.parent.name] = {k: v for k, v in metrics.items() if "per_second" not in k}
    return found


def weights(logs: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The best of each job."""
    return {
        path.parents[1].name: torch.load(path, weights_only=True)["state_dict"]
        for path in logs.glob("sweeps/killed/*/checkpoints/best.ckpt")
    }


def begun(logs: Path) -> bool:
    """Whether a job that has not finished has left a checkpoint."""
    checkpoints = logs.glob("sweeps/killed/*/checkpoints/last.ckpt")
    return any(not (path.parents[1] / "result.json").exists() for path in checkpoints)


def times(logs: Path) -> dict[Path, int]:
    """When each file of each finished job was last written; those that are being written are none.

    Jobs in processes of their own may outlive the kill for a moment.
    """
    return {
        path: path.stat().st_mtime_ns
        for name in results(logs)
        for path in (logs / "sweeps" / "killed" / name).rglob("*")
        if path.is_file() and ".part" not in path.name
    }


def kill_in_the_middle(line: list[str], logs: Path, log: Path) -> int:
    """Starts the sweep and kills it; how many jobs had finished."""
    process = started(line, log)
    while not (len(results(logs)) >= 2 and begun(logs)):
        if process.poll() is not None:
            sys.exit(f"the sweep ended with {process.returncode} before it was killed; see {log}")
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return len(results(logs))


def main(launcher: str, typed: Sequence[str]) -> None:
    """Says what it found, line by line."""
    folder = Path(tempfile.mkdtemp(prefix=f"kill_sweep_{launcher}_"))
    whole, cut = folder / "whole", folder / "cut"
    code = started(command(launcher, typed, whole), folder / "whole.txt").wait()
    line = command(launcher, typed, cut)
    finished = kill_in_the_middle(line, cut, folder / "killed.txt")
    before = times(cut)
    codes = (code, started(line, folder / "again.txt").wait())
    print(f"exit codes of the whole one and of the one typed again: {codes}; {folder}")
    changed = [path for path, then in before.items() if path.stat().st_mtime_ns != then]
    print(f"killed after {finished} of {len(results(whole))} jobs; {len(changed)} files changed")
    for path in changed:
        print(f"  {path}")
    expected, found = weights(whole), weights(cut)
    same = results(whole) == results(cut) and len(results(whole)) == 6
    alike = expected.keys() == found.keys() and all(
        torch.equal(tensor, found[job][name])
        for job, own in expected.items()
        for name, tensor in own.items()
    )
    print(f"equal metrics: {same}; best weights equal bit for bit: {alike}")
    sys.exit(codes != (0, 0) or bool(changed) or not (same and alike))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
