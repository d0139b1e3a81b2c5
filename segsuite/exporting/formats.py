"""The kinds of files there are: how each is written and run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.exporting.errors import needed
from segsuite.exporting.graph import Graph
from segsuite.exporting.parity import Run
from segsuite.runtime.description import Description


@dataclass(frozen=True)
class Made:
    """A file that was written, in the runtime that it is for.

    Attributes:
        run: takes an image, and gives all outputs of that very file.
        scores: takes an image, and gives the scores behind labels, which the file itself does not
            give; by a copy of the model that does. None where there is no such copy.
    """

    run: Run
    scores: Callable[[Tensor], Tensor] | None = None


class Writer(Protocol):
    """Writes a file of one kind and opens it."""

    def __call__(
        self,
        graph: Graph,
        path: Path,
        images: Tensor | None,
        *,
        opset: int,
        threads: int,
        about: Description | None,
    ) -> Made: ...


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        int8: whether the file is calibrated to int8.
        packages: modules that must be there, and the extra that brings them.
        dtype: type of the images that it takes.
        carries: whether what is known of the network stands in the file; in FILE.json if not.
    """

    name: str
    suffix: str
    int8: bool
    packages: tuple[str, ...]
    extra: str
    write: Writer
    dtype: str
    carries: bool

    def check(self) -> None:
        """Raises MissingExtra where a package is absent."""
        for module in self.packages:
            needed(module, self.extra)

    def made(
        self,
        graph: Graph,
        path: Path,
        images: Tensor | None,
        *,
        opset: int,
        threads: int,
        about: Description | None = None,
    ) -> Made:
        """Writes the graph to `path`, and opens that file.

        Args:
            images: images to calibrate with; unused for float.
            opset: opset of ONNX.
            threads: threads of the runtime.
            about: what the file says of itself, if it can carry that.
        """
        calibrated = images if self.int8 else None
        return self.write(graph, path, calibrated, opset=opset, threads=threads, about=about)


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


def _onnx(
    graph: Graph,
    path: Path,
    images: Tensor | None,
    *,
    opset: int,
    threads: int,
    about: Description | None,
) -> Made:
    from segsuite.exporting import onnx_file, onnx_int8

    labels_alone = graph.output == "labels"
    model = onnx_file.to_onnx(graph, opset=opset, with_scores=labels_alone)
    if images is not None:
        model = onnx_int8.quantised(model, images)
    properties = {} if about is None else about.to_properties()
    onnx_file.write_onnx(onnx_file.first_output(model), path, properties)
    run = onnx_file.OnnxRunner(path, threads=threads)
    if not labels_alone:
        return Made(run)
    both = onnx_file.OnnxRunner(model.SerializeToString(), threads=threads)
    return Made(run, lambda image: both(image)[1])


def _executorch(
    graph: Graph, path: Path, images: Tensor | None, *, threads: int, **of_onnx: Any
) -> Made:
    from segsuite.exporting import executorch_file

    executorch_file.write_program(executorch_file.to_program(graph, images=images), path)
    return Made(executorch_file.ExecutorchRunner(path, threads=threads))


def _litert(
    graph: Graph, path: Path, images: Tensor | None, *, threads: int, **of_onnx: Any
) -> Made:
    from segsuite.exporting import litert_file

    litert_file.write_litert(graph, path, images=images)
    return Made(litert_file.LitertRunner(path, threads=threads))


def _float_and_int8(
    name: str,
    suffix: str,
    *packages: str,
    extra: str,
    write: Writer,
    dtypes: tuple[str, str],
    carries: bool = False,
) -> list[Format]:
    plain, int8 = dtypes
    return [
        Format(name, suffix, False, packages, extra, write, plain, carries),
        Format(f"{name}_int8", f".int8{suffix}", True, packages, extra, write, int8, carries),
    ]


_FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        *_float_and_int8(
            *("onnx", ".onnx", "onnx", "onnxscript", "onnxruntime"),
            extra="export",
            write=_onnx,
            dtypes=("uint8", "uint8"),
            carries=True,
        ),
        *_float_and_int8(
            *("executorch", ".pte", "executorch", "torchao"),
            extra="executorch",
            write=_executorch,
            dtypes=("float32", "float32"),
        ),
        *_float_and_int8(
            *("litert", ".tflite", "litert_torch", "ai_edge_quantizer", "ai_edge_litert"),
            extra="litert",
            write=_litert,
            dtypes=("float32", "int8"),  # scaled as the input of the file itself says
        ),
    )
}
