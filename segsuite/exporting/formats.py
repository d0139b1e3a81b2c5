"""The kinds of files there are: how each is written and run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.exporting.errors import needed
from segsuite.exporting.graph import Graph
from segsuite.exporting.parity import Run


@dataclass(frozen=True)
class Made:
    """A file that was written, in the runtime that it is for.

    Attributes:
        run: a picture to all outputs of that very file.
        scores: a picture to the scores behind labels, which the file itself does not give; by a
            copy of the model that does. None where there is no such copy.
    """

    run: Run
    scores: Callable[[Tensor], Tensor] | None = None


class Writer(Protocol):
    """Writes a file of one kind and opens it."""

    def __call__(
        self, graph: Graph, path: Path, pictures: Tensor | None, *, opset: int, threads: int
    ) -> Made: ...


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        int8: whether it is calibrated.
        packages: modules that must be there, and the extra that brings them.
    """

    name: str
    suffix: str
    int8: bool
    packages: tuple[str, ...]
    extra: str
    write: Writer

    def check(self) -> None:
        """Raises MissingExtra where a package is absent."""
        for module in self.packages:
            needed(module, self.extra)

    def made(
        self, graph: Graph, path: Path, pictures: Tensor | None, *, opset: int, threads: int
    ) -> Made:
        """Writes the graph to `path`, and opens that file.

        Args:
            pictures: to calibrate with; unused for float.
            opset: of ONNX.
            threads: of the runtime.
        """
        calibrated = pictures if self.int8 else None
        return self.write(graph, path, calibrated, opset=opset, threads=threads)


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


def _onnx(graph: Graph, path: Path, pictures: Tensor | None, *, opset: int, threads: int) -> Made:
    from segsuite.exporting import onnx_file, onnx_int8

    labels_alone = graph.output == "labels"
    model = onnx_file.to_onnx(graph, opset=opset, with_scores=labels_alone)
    if pictures is not None:
        model = onnx_int8.quantised(model, pictures)
    onnx_file.write_onnx(onnx_file.first_output(model), path)
    run = onnx_file.OnnxRunner(path, threads=threads)
    if not labels_alone:
        return Made(run)
    both = onnx_file.OnnxRunner(model.SerializeToString(), threads=threads)
    return Made(run, lambda picture: both(picture)[1])


def _executorch(
    graph: Graph, path: Path, pictures: Tensor | None, *, opset: int, threads: int
) -> Made:
    from segsuite.exporting import executorch_file

    del opset  # of ONNX only
    executorch_file.write_program(executorch_file.to_program(graph, pictures=pictures), path)
    return Made(executorch_file.ExecutorchRunner(path, threads=threads))


def _litert(graph: Graph, path: Path, pictures: Tensor | None, *, opset: int, threads: int) -> Made:
    from segsuite.exporting import litert_file

    del opset  # of ONNX only
    litert_file.write_litert(graph, path, pictures=pictures)
    return Made(litert_file.LitertRunner(path, threads=threads))


def _float_and_int8(name: str, suffix: str, *packages: str, extra: str, write: Writer) -> list:
    return [
        Format(name, suffix, False, packages, extra, write),
        Format(f"{name}_int8", f".int8{suffix}", True, packages, extra, write),
    ]


_FORMATS: dict[str, Format] = {
    its.name: its
    for its in (
        *_float_and_int8(
            *("onnx", ".onnx", "onnx", "onnxscript", "onnxruntime"), extra="export", write=_onnx
        ),
        *_float_and_int8(
            *("executorch", ".pte", "executorch", "torchao"), extra="executorch", write=_executorch
        ),
        *_float_and_int8(
            *("litert", ".tflite", "litert_torch", "ai_edge_quantizer", "ai_edge_litert"),
            extra="litert",
            write=_litert,
        ),
    )
}
