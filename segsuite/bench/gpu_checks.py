"""What this suite claims of GPUs, in parts that are sized in minutes; see scripts/gpu_checks.py.

Each part is a few commands of the suite's own entry points, so that a figure can be had again by
typing what stands beside it.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.files import write_json

RESULTS = "gpu_checks.json"
_TESTS = "tests.xml"
_WAYS = {"eager": "false", "compiled": "true", "graphs": "graphs"}
"""How networks are run, as `compile=` has it."""

_FITTED = ("eager", "graphs")
"""Those whose fixed milliseconds are fitted."""

Runner = Callable[[Sequence[str]], int]
"""Runs a module, given as `segsuite.benchmark` and what is typed after it; its exit code."""

HYBRIDS = "experiments=[segvit_vitb,cts_dtop_vitb_fast,segvit_vitt,cts_dtop_vitt_fast]"
SIZES = (256, 512, 1024)
"""Of the dense network, whose times tell the fixed part of a run."""


@dataclass(frozen=True)
class Part:
    """One claim.

    Attributes:
        about: what it shows.
        minutes: how long it takes on one H200, as far as that can be told beforehand.
        commands: each by the name of its folder: an entry point and its overrides, or `pytest` and
            files of tests.
        tiny: overrides that make it run in seconds.
    """

    about: str
    minutes: float
    commands: Mapping[str, Sequence[str]]
    tiny: Sequence[str] = field(default_factory=tuple)


def parts(camvid: str | None) -> dict[str, Part]:
    """All parts by name; trainings on CamVid only where its folder is given.

    Args:
        camvid: the folder.
    """
    bench = "segsuite.benchmark"
    small = ("size=[64,64]", "batch_sizes=[1]", "rounds=2", "warm_up=0", "images=1")
    made = ("method.backbone.dim=48", "method.backbone.heads=3", "method.backbone.depth=6")
    tiny = (*small, f"overrides=[{','.join(made)}]")
    timed = (HYBRIDS, "data.num_classes=150", "batch_sizes=[1,8,32]", "rounds=30", "images=4")
    found = {
        "hybrids": Part(
            "fixed budgets beside the dense network: eager, compiled, in CUDA graphs",
            4.0,
            {
                name: (bench, *timed, f"compile={compile}", "precision=bf16")
                for name, compile in _WAYS.items()
            },
            tiny,
        ),
        "fixed_time": Part(
            "the milliseconds of a run that no token takes away, from the dense network at sizes",
            2.0,
            {
                f"{side}_{name}": (
                    bench,
                    *("experiments=[segvit_vitb]", f"size=[{side},{side}]", "batch_sizes=[1]"),
                    *("rounds=30", "images=2", f"compile={compile}", "precision=bf16"),
                )
                for side in SIZES
                for name, compile in _WAYS.items()
                if name in _FITTED
            },
            ("batch_sizes=[1]", "rounds=2", "warm_up=0", "images=1", tiny[-1]),
        ),
        "losses": Part(
            "the exact loss in Triton beside torch's chunked one, knn and dense",
            1.5,
            {"losses": (bench, "probe=losses", "losses.classes=[150,1284,10000]", "rounds=20")},
            ("losses.classes=[30]", "losses.side=16", "rounds=1", "warm_up=0"),
        ),
        "tests": Part(
            "no host synchronisation, and what else the tests ask of a GPU",
            1.5,
            {
                "tests": (
                    *("pytest", "-q", "-m", "gpu"),
                    *("tests/measure/test_syncs.py", "tests/essnet/test_losses.py"),
                    *("tests/ops/test_streaming_triton.py", "tests/ops/test_panoptic.py"),
                )
            },
        ),
        "panoptic": Part(
            "panoptic networks, to segments",
            1.5,
            {
                "panoptic": (
                    *(bench, "size=[1024,2048]", "rounds=20", "images=2", "batch_sizes=[1]"),
                    "experiments=[hyctas_l_cityscapes_panoptic,panoptic_mobilenetv2_cityscapes]",
                )
            },
            (*small, "experiments=[panoptic_scenes]"),
        ),
        "memory": Part(
            "ResNet-50 with 1,284 classes, batch 10, 450x450: what a training step holds",
            2.0,
            {"memory": (bench, "probe=memory", "memory.classes=[19,1284]")},
            (
                *("memory.classes=[19]", "memory.size=[64,64]", "memory.measured_at=[32,32]"),
                *("memory.experiment=essnet_cityscapes_mobilenetv2", "memory.batch=2"),
            ),
        ),
    }
    if camvid is not None:
        found["camvid"] = Part(
            "ViT-T dense and hybrid on CamVid at 384x512 for 15,000 iterations",
            60.0,
            {
                name: (
                    "segsuite.train",
                    *(f"experiment={name}", "data=camvid", f"data.root={camvid}", "resume=true"),
                    *("data.crop_size=[384,512]", "data.batch_size=16", "trainer.max_steps=15000"),
                    *("trainer.val_check_interval=1500", "method/recipe=scratch"),
                    *("method.backbone.weights=none", "data.cache=true"),
                )
                for name in ("segvit_vitt", "cts_dtop_vitt_fast")
            },
            (
                *("data.crop_size=[64,64]", "trainer.max_steps=1", "trainer.val_check_interval=1"),
                *(*made, "data.batch_size=1", "data.num_workers=0"),
            ),
        )
    return found


def run(
    chosen: Mapping[str, Part],
    out: Path,
    *,
    runner: Runner,
    minutes: float,
    device: str,
    tiny: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Runs the parts that fit into the minutes; what all of them found, also those of before.

    A command that ended well before is not run again, so that a run that was stopped goes on when
    it is typed again. What it found stays even where the command is another by now, as with
    another data.root, and that is said.

    Args:
        out: where `folder_of` the device lies, which holds the results and each command's folder.
        device: what every benchmark is run on.
        tiny: whether each part is made as small as it gets.
    """
    begun, folder = time.monotonic(), folder_of(out, device, tiny)
    results = known(folder)
    for name, part in chosen.items():
        left = minutes - (time.monotonic() - begun) / 60
        typed = {
            key: _typed(argv, part, folder / name / key, device, tiny)
            for key, argv in commands_on(device, part).items()
        }
        if not typed:
            tell(f"{name}: needs a GPU; left out")
            continue
        own = results.setdefault(name, {"about": part.about, "commands": {}})
        missing = {key: line for key, line in typed.items() if key not in own["commands"]}
        for key in typed.keys() - missing.keys():
            if others := _others(own["commands"][key]["typed"], typed[key]):
                tell(
                    f"{name}: {key} was done before with {others}; type another OUT to run it anew"
                )
        share = part.minutes * len(missing) / len(part.commands)
        if not missing:
            tell(f"{name}: done before")
            continue
        if share > left and not tiny:
            tell(f"{name}: takes {share:.1f} minutes, and {left:.1f} are left; left out")
            continue
        for key, line in missing.items():
            tell(f"{name}: {key}")
            ran = _ran(line, folder / name / key, runner)
            if "error" in ran:
                tell(f"{name}: {key} {ran['error']}")
            else:
                own["commands"][key] = ran
            write_json(folder / RESULTS, results)
    if "fixed_time" in results:  # of the results that stand there now, of none other
        results["fixed_time"].pop("fit", None)
        results["fixed_time"] |= _fit(results)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULTS, results)
    return results


def folder_of(out: Path, device: str, tiny: bool) -> Path:
    """Where results of a device lie: `cuda`, `cpu`, and `cuda-tiny` or `cpu-tiny` of small runs."""
    return out / (f"{device}-tiny" if tiny else device)


def commands_on(device: str, part: Part) -> dict[str, Sequence[str]]:
    """A part's commands that a device can run: a CPU has no CUDA graphs, and no tests of a GPU."""
    of_gpus = {"compile=graphs", "pytest"} if device == "cpu" else set()
    return {key: argv for key, argv in part.commands.items() if of_gpus.isdisjoint(argv)}


def known(folder: Path) -> dict[str, Any]:
    """What an earlier run found."""
    path = folder / RESULTS
    return json.loads(path.read_text()) if path.is_file() else {}


def choose(names: Sequence[str], known: Mapping[str, Part]) -> dict[str, Part]:
    """The parts of those names; all where none is named.

    Raises:
        ConfigError: there is none of a name.
    """
    for name in names:
        if name not in known:
            said = f"{name} is no part; there are {', '.join(known)}{did_you_mean(name, known)}"
            raise ConfigError(said)
    return {name: known[name] for name in names} if names else dict(known)


def fixed_milliseconds(points: Sequence[Sequence[float]]) -> tuple[float, float]:
    """a and b of t = a + b * GMAC, by least squares over (GMACs, milliseconds) of several sizes."""
    from statistics import linear_regression

    slope, intercept = linear_regression(*zip(*points, strict=True))
    return intercept, slope


def _typed(argv: Sequence[str], part: Part, folder: Path, device: str, tiny: bool) -> list[str]:
    """A command as it is run."""
    typed = [*argv, *(part.tiny if tiny else ())]
    if argv[0] == "pytest":
        return [*typed, f"--junit-xml={folder / _TESTS}"]
    typed.append(f"hydra.run.dir={folder}")
    if argv[0] == "segsuite.benchmark":
        return [*typed, f"device={device}"]
    return [*typed, f"trainer.accelerator={'cpu' if device == 'cpu' else 'gpu'}"]


def _others(before: Sequence[str], now: Sequence[str]) -> str:
    """What a command of before has that this one has not; where its results lie is no matter."""
    where = ("hydra.run.dir=", "--junit-xml=")
    kept, asked = ([o for o in typed if not o.startswith(where)] for typed in (before, now))
    only = [one for one in kept if one not in asked]
    return " ".join(only or kept) if kept != asked else ""


def _ran(typed: Sequence[str], folder: Path, runner: Runner) -> dict[str, Any]:
    """What one command found, or why nothing."""
    tested = typed[0] == "pytest"
    begun, path = time.monotonic(), folder / (_TESTS if tested else "result.json")
    code = runner(typed)
    if code or not path.is_file():
        return {"error": f"ended with {code}: {' '.join(typed)}"}
    result = _tests(path) if tested else json.loads(path.read_text())
    if tested and not result["passed"]:
        return {"error": f"passed no test, and skipped {result['skipped']}: {' '.join(typed)}"}
    return {"typed": list(typed), "seconds": time.monotonic() - begun, "result": result}


def _tests(path: Path) -> dict[str, int]:
    """How many tests passed, and how many were skipped, as for want of a GPU."""
    suites = list(ElementTree.parse(path).iter("testsuite"))
    ran, skipped = (sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "skipped"))
    return {"passed": ran - skipped, "skipped": skipped}


def _fit(results: Mapping[str, Any]) -> dict[str, Any]:
    """`fit`: the fixed part of the dense network's time, by way of running; {} without points."""
    found = results.get("fixed_time", {}).get("commands", {})
    fits = {}
    for way in _FITTED:
        points = []
        for side in SIZES:
            command = found.get(f"{side}_{way}")
            if command is None:
                break
            entries = command["result"]["record"]["entries"]
            metrics = entries[0]["metrics"]
            points.append([metrics["gmacs"]["value"], metrics["labels_ms"]["value"]])
        if len(points) == len(SIZES):
            fixed, each = fixed_milliseconds(points)
            fits[way] = {"fixed_ms": fixed, "ms_per_gmac": each, "points": points}
    return {"fit": fits} if fits else {}
