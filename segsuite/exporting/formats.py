"""The kinds of files there are: how each is written and run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file.

    Attributes:
        int8: whether the file is calibrated to int8.
        packages: modules that must be there, and the extra that brings them.
        write: writes a graph to a path, and opens that file; see `made`.
        dtype: type of the images that it takes.
        carries: whether what is known of the network stands in the file; in FILE.json if not.
        instances: whether the file gives what things are told apart by, beside labels.
    """

    name: str
    suffix: str
    int8: bool
    packages: tuple[str, ...]
    extra: str
    write: Callable[..., Made]
    dtype: str = "float32"
    carries: bool = False
    instances: bool = False

    def check(self) -> None:
        """Raises MissingExtra where a package is absent."""
        for module in self.packages:
            needed(module, self.extra)

    def made(self, graph: Graph, path: Path, images: Tensor | None, **kind: Any) -> Made:
        """Writes the graph to `path`, and opens that file.

        Args:
            images: images to calibrate int8 with; unused for float.
            kind: `opset` of ONNX; `threads` of the runtime; and `about`, what the file says of
                itself, if it can carry that.
        """
        return self.write(graph, path, images if self.int8 else None, **kind)


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
    about: Description | None = None,
) -> Made:
    from segsuite.exporting import onnx_file, onnx_int8

    labels_alone = graph.output == "labels"
    model = onnx_file.to_onnx(graph, opset=opset, with_scores=labels_alone)
    if images is not None:
        model = onnx_int8.quantised(model, images)
    properties = {} if about is None else about.to_properties()
    kept = onnx_file.first_outputs(model, len(graph.outputs))
    onnx_file.write_onnx(kept, path, properties)
    run = onnx_file.OnnxRunner(path, threads=threads)
    if not labels_alone:
        return Made(run)
    both = onnx_file.OnnxRunner(model.SerializeToString(), threads=threads)
    return Made(run, lambda image: both(image)[-1])


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
    packages: tuple[str, ...],
    dtypes: tuple[str, str],
    *,
    instances: bool = False,
    **kind: Any,
) -> list[Format]:
    plain, int8 = ({**kind, "packages": packages, "dtype": dtype} for dtype in dtypes)
    return [
        Format(name=name, suffix=suffix, int8=False, instances=instances, **plain),
        Format(name=f"{name}_int8", suffix=f".int8{suffix}", int8=True, **int8),
    ]


_ONNX = ("onnx", "onnxscript", "onnxruntime")
_EXECUTORCH = ("executorch", "torchao")
_LITERT = ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")
_FLOATS, _BYTES = ("float32", "float32"), ("uint8", "uint8")
_SCALED = ("float32", "int8")
"""int8 images are scaled as the input of the file itself says."""

_FORMATS = {
    one.name: one
    for one in (
        *_float_and_int8(
            *("onnx", ".onnx", _ONNX, _BYTES),
            extra="export",
            write=_onnx,
            carries=True,
            instances=True,
        ),
        *_float_and_int8(
            "executorch", ".pte", _EXECUTORCH, _FLOATS, extra="executorch", write=_executorch
        ),
        *_float_and_int8("litert", ".tflite", _LITERT, _SCALED, extra="litert", write=_litert),
    )
}
