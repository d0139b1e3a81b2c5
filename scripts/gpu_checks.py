"""Runs what this suite claims of GPUs, in parts that are sized in minutes.

    python scripts/gpu_checks.py list
    python scripts/gpu_checks.py run OUT --minutes 14
    python scripts/gpu_checks.py run OUT hybrids losses --minutes 5 --camvid DATA
    python scripts/gpu_checks.py run OUT hybrids --device cpu --tiny

Parts that do not fit into the minutes, as they are on one H200, are left out and said; with --tiny
none is, and a part may take some minutes on a CPU, where what needs a GPU is left out. Typed again
it goes on: what ended well is not run again, and stays where another --camvid is typed, which is
said. Everything found on a GPU stands in OUT/cuda/gpu_checks.json, and beside it in each command's
own folder; what is found with --device cpu stands in OUT/cpu, and with --tiny in OUT/cuda-tiny or
OUT/cpu-tiny.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from segsuite.bench.gpu_checks import RESULTS, choose, commands_on, folder_of, parts, run
from segsuite.core.errors import SegsuiteError


def command(typed: Sequence[str]) -> int:
    """Runs an entry point as a process of its own; its exit code."""
    module, *overrides = typed
    return subprocess.run([sys.executable, "-m", module, *overrides]).returncode


def main(typed: Sequence[str]) -> None:
    """Lists or runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what")
    what.add_parser("list", help="the parts, and how long each takes")
    running = what.add_parser("run", help="runs parts")
    running.add_argument("out", type=Path, help="folder of the results")
    running.add_argument("names", nargs="*", help="parts; all where none is named")
    running.add_argument("--minutes", type=float, default=14.0, help="that may be used")
    running.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    running.add_argument("--tiny", action="store_true", help="as small as it gets, on a CPU too")
    for one in what.choices.values():
        one.add_argument("--camvid", help="folder of CamVid, for the trainings")
    if not typed or (typed[0].startswith("-") and typed[0] not in ("-h", "--help")):
        parser.error("type `list`, or `run OUT` with what is to be run and how, as --help shows")
    given = parser.parse_args(typed)
    known = parts(given.camvid)
    if given.what == "list":
        for name, part in known.items():
            print(f"{name:12} {part.minutes:5.1f} minutes  {part.about}")
        return
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: there is no GPU here; type --device cpu --tiny to try the commands")
    kind = {"minutes": given.minutes, "device": given.device, "tiny": given.tiny}
    try:
        chosen = choose(given.names, known)
    except SegsuiteError as error:
        sys.exit(f"error: {error}")
    found = run(chosen, given.out, runner=command, **kind)
    wanted = {name: commands_on(given.device, part) for name, part in chosen.items()}
    count = sum(map(len, wanted.values()))
    done = sum(key in found[name]["commands"] for name, keys in wanted.items() for key in keys)
    results = folder_of(given.out, given.device, given.tiny) / RESULTS
    print(f"{done} of {count} results in {results}")
    sys.exit(not count or done < count)


if __name__ == "__main__":
    main(sys.argv[1:])
