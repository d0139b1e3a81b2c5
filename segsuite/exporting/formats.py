"""The kinds of files there are: how each is made, run and written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.exporting.errors import needed
from segsuite.exporting.graph import Graph
from segsuite.exporting.parity import Run


@dataclass(frozen=True)
class Made:
    """An exported network that is not in its place yet.

    Attributes:
        run: a picture to all outputs, by the runtime that the file is for.
        write: puts the file where it belongs, whole or not at all.
    """

    run: Run
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        int8: whether it is calibrated.
        witness: whether scores can be looked at beside labels without staying in the file.
        packages: modules that must be there, and the extra that brings them.
    """

    name: str
    suffix: str
    int8: bool
    witness: bool
    packages: tuple[str, ...]
    extra: str
    make: Callable[..., Made]

    def check(self) -> None:
        """Raises MissingExtra where a package is absent."""
        for module in self.packages:
            needed(module, self.extra)

    def made(self, graph: Graph, pictures: Tensor | None, *, opset: int, threads: int) -> Made:
        """The exported network.

        Args:
            pictures: to calibrate with; None for float.
            opset: of ONNX.
            threads: that `run` uses.
        """
        return self.make(graph, pictures, opset=opset, threads=threads)


def formats(names: Sequence[str]) -> list[Format]:
    """The formats by name, in the order typed.

    Raises:
        ConfigError: there is none of a name, or none was named.
    """
    if not names:
        raise ConfigError("formats=[] exports nothing; type formats=[onnx]")
    for name in names:
        if name not in _FORMATS:
            near = did_you_mean(name, _FORMATS)
            raise ConfigError(f"formats: {name} is not one of {', '.join(_FORMATS)}{near}")
    return [_FORMATS[name] for name in dict.fromkeys(names)]


def _onnx(graph: Graph, pictures: Tensor | None, *, opset: int, threads: int) -> Made:
    from segsuite.exporting import onnx_file, onnx_int8

    model = onnx_file.to_onnx(graph, opset=opset)
    if pictures is not None:
        model = onnx_int8.quantised(model, pictures)
    final = onnx_file.without_witness(model)
    return Made(
        onnx_file.OnnxRunner(model.SerializeToString(), threads=threads),
        lambda path: onnx_file.write_onnx(final, path),
    )


def _executorch(graph: Graph, pictures: Tensor | None, *, opset: int, threads: int) -> Made:
    from segsuite.exporting import executorch_file

    del opset  # of ONNX only
    program = executorch_file.to_program(graph, pictures=pictures)
    return Made(
        executorch_file.ExecutorchRunner(program.buffer, threads=threads),
        lambda path: executorch_file.write_program(program, path),
    )


_ONNX = {"packages": ("onnx", "onnxscript", "onnxruntime"), "extra": "export", "make": _onnx}
_EXECUTORCH = {
    "packages": ("executorch", "torchao"),
    "extra": "executorch",
    "make": _executorch,
}
_FORMATS = {
    its.name: its
    for its in (
        Format("onnx", ".onnx", False, True, **_ONNX),
        Format("onnx_int8", ".int8.onnx", True, True, **_ONNX),
        Format("executorch", ".pte", False, False, **_EXECUTORCH),
        Format("executorch_int8", ".int8.pte", True, False, **_EXECUTORCH),
    )
}
