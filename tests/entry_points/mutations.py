"""Overrides drawn by seed, most of them wrong, and the entry points up to where they would work.

    python -m tests.entry_points.mutations 600 --seed 1

says which of them end in a traceback, or not at all within a minute.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from omegaconf import DictConfig, ListConfig
from PIL import Image

from tests.engine.entry_points import called

_DATA = (
    *("data=scenes", "data.crop_size=[64,64]", "data.batch_size=2", "data.num_workers=0"),
    "data.reader.lengths={train: 4, val: 2}",
)
_SHORT = ("trainer=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1")
_FAMILIES = {
    "segvit": (
        *("experiment=cts_dtop_vitt", "method/backbone=vit_micro", "method.pruning.after=[2,5]"),
        *("method/sharing=cts_small", "method/recipe=scratch"),
    ),
    "essnet": (
        *("experiment=essnet_cityscapes_mobilenetv2", "method.backbone.weights=none"),
        *("method/loss=knn", "method.loss.k=2"),
    ),
    "mobile": ("experiment=mobile_dpc_coco9", "method.backbone.weights=none"),
}
_VALUES = (
    *("true", "false", "null", "none", "''", "abc", "3", "-1", "0", "0.5", "1e3", "1e30", "-2.5"),
    *("nan", "inf", "-inf", "99999999999999999999", "[]", "{}", "[1]", "[true,null]", "{a: 1}"),
    *("[[1,2],[3]]", "[a,b]", "x" * 8000, "'a b'", "'a,b'", "'a=b'", "2024_05_01", "0x10", "ü"),
    *("/dev/null", "/nowhere/at/all", ".", "y" * 245, "'${nowhere}'", "'${seed}'", "'???'"),
)
_STOPS = {
    "train": ("segsuite.engine.fitting.fit",),
    "benchmark": ("segsuite.bench.comparison.measure",),
    "export": ("segsuite.exporting.export._Job.written",),
}
"""What would take long; before it, everything about a config has been said."""


@dataclass(frozen=True)
class Case:
    """A command line: an entry point, what is right, and one override that may not be."""

    entry_point: str
    base: tuple[str, ...]
    mutated: str

    def __str__(self) -> str:
        shown = self.mutated if len(self.mutated) < 120 else f"{self.mutated[:100]}... (long)"
        return f"{self.entry_point} {shown}  [{' '.join(self.base[:2])}]"


class Workshop:
    """A folder with what the entry points read: a checkpoint a family, and an image."""

    def __init__(self, folder: Path) -> None:
        from segsuite.core.build import build
        from segsuite.core.checkpoint import save_checkpoint
        from segsuite.engine.launch.entry_point import compose
        from segsuite.engine.launch.rebuild import as_checkpoint

        self.folder = folder
        self._keys: dict[tuple[str, ...], list[str]] = {}
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "street.png")
        for family, typed in _FAMILIES.items():
            cfg = compose("train", [*typed, *_DATA])
            network = build(cfg.method.network, path="method.network")
            classes = build(cfg.data, path="data").classes
            save_checkpoint(as_checkpoint(cfg, network, classes), folder / f"{family}.ckpt")

    def bases(self) -> list[tuple[str, tuple[str, ...]]]:
        """Entry points with arguments that are right."""
        trainings = [("train", (*typed, *_DATA, *_SHORT)) for typed in _FAMILIES.values()]
        files = [f"ckpt_path={self.folder / family}.ckpt" for family in _FAMILIES]
        street = (f"input={self.folder / 'street.png'}", f"output={self.folder / 'out'}")
        small = ("size=[64,64]", "images=1", "batch_sizes=[1]", "rounds=1", *_DATA)
        return [
            *trainings,
            *(("evaluate", (file, "trainer=cpu")) for file in files),
            *(("predict", (file, *street)) for file in files),
            *(("export", (file, "size=[64,64]")) for file in files),
            ("benchmark", ("experiments=[cts_dtop_vitt,mobile_dpc_coco9]", *small)),
            ("benchmark", (f"checkpoints=[{files[0].partition('=')[2]}]", *small)),
            ("check_data", (*_DATA, "drawn=2", "images=1")),
        ]

    def cases(self, count: int, seed: int) -> Iterator[Case]:
        """The same ones for the same seed."""
        draw, bases = random.Random(seed), self.bases()
        for number in range(count):
            entry_point, base = bases[number % len(bases)]
            yield Case(entry_point, base, _mutated(self._keys_of(entry_point, base), draw))

    def _keys_of(self, entry_point: str, base: tuple[str, ...]) -> list[str]:
        """Every key of the config that these arguments give."""
        from segsuite.engine.launch import rebuild
        from segsuite.engine.launch.entry_point import compose

        if base not in self._keys:
            typed = list(base)
            if entry_point in ("evaluate", "predict"):
                typed = rebuild.config_from_checkpoint(typed)
            if entry_point == "export":
                typed = rebuild.config_from_source(typed)
            self._keys[base] = sorted(_paths(compose(entry_point, typed)))
        return self._keys[base]

    def outcome(self, case: Case, *, seconds: int = 60) -> str | None:
        """The traceback in which a command ends, or None."""
        main = _main_of(case.entry_point)
        logs = f"paths.logs={self.folder / 'logs'}"
        typed = [*case.base, case.mutated]
        if "paths.logs" not in case.mutated:
            typed.append(logs)
        said = io.StringIO()
        with contextlib.ExitStack() as stack:
            for name in _STOPS.get(case.entry_point, ()):
                stack.enter_context(patch(name, side_effect=SystemExit(0)))
            stack.enter_context(contextlib.redirect_stderr(said))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.chdir(self.folder))
            stack.enter_context(_at_most(seconds))
            try:
                code = called(main, *typed)
            except Exception:
                return traceback.format_exc()
        lines = said.getvalue().strip().splitlines()
        self.said = lines[-1] if lines else ""
        if code not in (0, 1, 2):
            return f"exit code {code}: {said.getvalue()}"
        return said.getvalue() if "Traceback" in said.getvalue() else None


def _mutated(keys: Sequence[str], draw: random.Random) -> str:
    key, value, kind = draw.choice(keys), draw.choice(_VALUES), draw.random()
    if kind < 0.80:
        return f"{key}={value}"
    if kind < 0.85:
        return f"~{key}"
    if kind < 0.90:
        return f"+{key}.more={value}"
    if kind < 0.95:
        at = draw.randrange(len(key))
        return f"{key[:at]}{key[at + 1 :]}={value}"
    return f"{key.replace('.', '/')}={value}"


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key below a config node that can be overridden."""
    if isinstance(node, DictConfig) and not node._is_none():
        for key in node:
            path = f"{prefix}{key}"
            if path.replace("_", "").isidentifier() or "." in path:
                yield path
            if key != "hydra" and not node._get_node(key)._is_interpolation():
                child = node._get_node(key)
                if isinstance(child, DictConfig | ListConfig):
                    yield from _paths(child, f"{path}.")


def _main_of(entry_point: str) -> Callable[[], None]:
    from importlib import import_module

    return import_module(f"segsuite.{entry_point}").main


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"still at it after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _run() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nothing is fetched
    resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30,) * 2)
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        for case in workshop.cases(given.count, given.seed):
            fault = workshop.outcome(case)
            if fault is not None:
                faults += 1
                print(f"=== {case}\n{fault}", flush=True)
            elif given.all:
                print(f"--- {case}\n    {workshop.said[:300]}", flush=True)
    print(f"{given.count} mutated overrides of seed {given.seed}: {faults} tracebacks")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(_run())
