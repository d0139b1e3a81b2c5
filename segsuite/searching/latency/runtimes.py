"""Where networks are timed: torch, ONNX Runtime, or a command of one's own."""

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hardware import Device, device_of
from segsuite.core.hints import Count, Positive
from segsuite.exporting.errors import needed
from segsuite.exporting.onnx_file import onnx_of, write_onnx
from segsuite.measure.latency import timed
from segsuite.measure.machine import machine
from segsuite.nn.folding import for_inference
from segsuite.runtime.session import session

Run = Callable[[], float]
"""Runs something once; the seconds that it took."""


Given = tuple[nn.Module, Sequence[Tensor]]
"""A module, and what it is run on: float maps, or an image in uint8."""


class Runtime(Protocol):
    """What times modules.

    Attributes:
        device: where networks run, as far as this process knows.
    """

    device: torch.device

    def ready(self, modules: Sequence[Given]) -> list[Run]:
        """The modules, each ready to be run on its inputs."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What times depend on, plain: the machine, threads, and the runtime's version."""


class Torch:
    """Networks as PyTorch runs them, batch norms folded.

    Args:
        threads: of the CPU.
    """

    def __init__(self, *, device: Device = "auto", threads: Count = 1) -> None:
        self.device, self.threads = device_of(device), threads

    def ready(self, modules: Sequence[Given]) -> list[Run]:
        """Batch norms are folded, as for every figure of speed here."""
        return [self._ready(module, inputs) for module, inputs in modules]

    def _ready(self, module: nn.Module, inputs: Sequence[Tensor]) -> Run:
        given = tuple(tensor.to(self.device) for tensor in inputs)
        folded = for_inference(module.to(self.device), lambda part: part(*given))

        def run() -> float:
            before = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                with torch.inference_mode():
                    return timed([lambda _: folded(*given)], None, self.device)[0]
            finally:
                torch.set_num_threads(before)

        return run

    @property
    def facts(self) -> Mapping[str, Any]:
        """Without the names of what else is installed; machines are told apart by their model,
        since those in containers have another name each time."""
        known = {**machine(self.device), "threads": self.threads}
        names = ("device", "processor", "cores", "threads", "torch", "gpu", "cuda")
        return {"runtime": "torch", **{name: known[name] for name in names if name in known}}


class OnnxRuntime:
    """Networks as ONNX Runtime runs their files on the CPU.

    Args:
        threads: threads of one operator.

    Raises:
        MissingExtra: onnxruntime, onnx or onnxscript is not installed.
    """

    device = torch.device("cpu")

    def __init__(self, *, threads: Count = 1) -> None:
        self.threads = threads

    def ready(self, modules: Sequence[Given]) -> list[Run]:
        """Exported, with the runtime's own optimisations."""
        return [
            self._ready(content.SerializeToString(), names, inputs)
            for (content, names), (_, inputs) in zip(_exported(modules), modules, strict=True)
        ]

    def _ready(self, content: bytes, names: Sequence[str], inputs: Sequence[Tensor]) -> Run:
        runner = session(content, threads=self.threads)
        given = {name: x.contiguous().numpy() for name, x in zip(names, inputs, strict=True)}

        def run() -> float:
            begun = time.perf_counter()
            runner.run(None, given)
            return time.perf_counter() - begun

        return run

    @property
    def facts(self) -> Mapping[str, Any]:
        """The processor, threads and version."""
        import onnxruntime

        known = machine(self.device)
        return {
            "runtime": "onnxruntime",
            "processor": known["processor"],
            "cores": known["cores"],
            "threads": self.threads,
            "onnxruntime": onnxruntime.__version__,
        }


class Command:
    """Networks as a program of one's own times them: another runtime, or another machine.

    It is given a path of an ONNX file of fixed shapes, and prints milliseconds as the last number
    of its output. The file may be a whole network, which takes an image in uint8, or a part of one,
    which takes float maps.

    Args:
        command: with {file} where the path belongs.
        where: what its times depend on, in one's own words; a table of other words is refused.
        timeout: seconds after which it counts as stuck.
    """

    device = torch.device("cpu")

    def __init__(self, *, command: str, where: str, timeout: Positive = 600.0) -> None:
        if "{file}" not in command:
            raise ConfigError(
                f"runtime.command={command} does not say where the file belongs; type {{file}} "
                "there"
            )
        self.command, self.where, self.timeout = command, where, timeout

    def ready(self, modules: Sequence[Given]) -> list[Run]:
        """A file is written again for each run, and deleted after it."""
        return [partial(self._run, content) for content, _ in _exported(modules)]

    def _run(self, content: Any) -> float:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            write_onnx(content, path)
            return self._milliseconds(path) / 1e3

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was typed."""
        return {"runtime": "command", "command": self.command, "where": self.where}

    def _milliseconds(self, path: Path) -> float:
        words = [word.replace("{file}", str(path)) for word in shlex.split(self.command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=self.timeout)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"runtime.command={self.command} cannot be run: {error}") from error
        said = done.stdout.split()
        number = _number(said[-1]) if said else None
        if done.returncode or number is None:
            told = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
            raise ConfigError(
                f"runtime.command={self.command} ended with {done.returncode} and said "
                f"{told[0]!r}; it is to print milliseconds as its last word"
            )
        return number


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


class _Together(nn.Module):
    """Several modules beside each other: exporting one takes as long as exporting twenty."""

    def __init__(self, modules: Sequence[nn.Module], takes: Sequence[int]) -> None:
        super().__init__()
        self.parts, self.takes = nn.ModuleList(modules), takes

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        left, given = list(inputs), []
        for part, count in zip(self.parts, self.takes, strict=True):
            answer = part(*left[:count])
            given += answer if isinstance(answer, tuple) else [answer]
            left = left[count:]
        return tuple(given)


def _exported(modules: Sequence[Given]) -> list[tuple[Any, list[str]]]:
    """Each module as ONNX, and the names of its inputs."""
    extractor_of = needed("onnx.utils", "export").Extractor
    folded, takes, gives = [], [], []
    for module, inputs in modules:
        ready = for_inference(module, lambda part, inputs=inputs: part(*inputs))
        with torch.no_grad():
            answer = ready(*inputs)
        folded.append(ready)
        takes.append([f"m{len(takes)}_in{i}" for i in range(len(inputs))])
        count = len(answer) if isinstance(answer, tuple) else 1
        gives.append([f"m{len(gives)}_out{i}" for i in range(count)])
    with torch.no_grad():
        whole = onnx_of(
            _Together(folded, [len(names) for names in takes]),
            [tensor.contiguous() for _, inputs in modules for tensor in inputs],
            inputs=[name for names in takes for name in names],
            outputs=[name for names in gives for name in names],
        )
    extractor = extractor_of(whole)
    return [(extractor.extract_model(own, out), own) for own, out in zip(takes, gives, strict=True)]
