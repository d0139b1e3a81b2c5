"""ONNX files of fixed shape, and how ONNX Runtime runs them."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.core.errors import CheckpointError
from segsuite.exporting.errors import ExportError, needed
from segsuite.exporting.graph import Graph, WithScores
from segsuite.runtime.description import INPUT
from segsuite.runtime.session import first_line, session

EXTRA = "export"


def to_onnx(graph: Graph, *, opset: int = 18, with_scores: bool = False) -> Any:
    """The graph as an onnx.ModelProto; takes `image`, (1, 3, H, W) uint8 RGB.

    Args:
        with_scores: whether the scores behind labels are given as a last output.

    Raises:
        ExportError: ONNX knows no such operator, or torch cannot trace the network.
        MissingExtra: onnx or onnxscript is not installed.
    """
    outputs = [*graph.outputs, *(["scores"] if with_scores else [])]
    example = torch.zeros(1, 3, *graph.size, dtype=torch.uint8)
    module = WithScores(graph) if with_scores else graph
    return onnx_of(module, [example], inputs=[INPUT], outputs=outputs, opset=opset)


def onnx_of(
    module: nn.Module,
    examples: Sequence[Tensor],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str] | None = None,
    opset: int = 18,
) -> Any:
    """Any module as an onnx.ModelProto, for tensors of the examples' shapes.

    Args:
        inputs, outputs: names of what it takes and gives.

    Raises:
        ExportError: ONNX knows no such operator, or torch cannot trace the module.
        MissingExtra: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        needed(package, EXTRA)
    try:
        with quietly():
            program = torch.onnx.export(
                module.eval(),
                tuple(examples),
                dynamo=True,
                opset_version=opset,
                input_names=list(inputs),
                output_names=None if outputs is None else list(outputs),
                verbose=False,
            )
    except Exception as error:
        raise ExportError(_refused(error)) from error
    _check_opset(program.model_proto, opset)
    return program.model_proto


def first_outputs(model: Any, count: int = 1) -> Any:
    """A copy of a model that gives the first outputs alone."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[count:]
    return copy


def write_onnx(model: Any, path: Path, properties: Mapping[str, str] | None = None) -> None:
    """Writes the model into one file.

    Args:
        properties: what the file is to say of itself.

    Raises:
        ExportError: it is no valid model.
    """
    import onnx

    onnx.helper.set_model_props(model, dict(properties or {}))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the model is not valid ONNX: {error}") from error
    onnx.save_model(model, str(path))


class OnnxRunner:
    """Runs an ONNX file, or a model in memory, on the CPU.

    Args:
        threads: threads of one operator.

    Raises:
        ExportError: ONNX Runtime does not know an operator of it, or it is no model.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        try:
            self._session = session(model, threads=threads)
        except CheckpointError as error:
            raise ExportError(str(error)) from error

    def __call__(self, image: Tensor) -> list[Tensor]:
        """All outputs.

        Shapes: image (1, 3, H, W) uint8
        """
        try:
            outputs = self._session.run(None, {INPUT: image.numpy()})
        except Exception as error:  # of kinds of its own
            raise ExportError(f"ONNX Runtime cannot run it: {first_line(error)}") from error
        return [torch.from_numpy(array) for array in outputs]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps the exporters' progress and their complaints about each other off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        said = io.StringIO()  # a network that is refused, as text of a thousand lines and more
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _check_opset(model: Any, opset: int) -> None:
    """Raises ExportError where the exporter wrote another one, of which it only warns."""
    written = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if written != opset:
        raise ExportError(
            f"opset={opset}: this network comes out in opset {written} and cannot be converted; "
            f"type opset={written}"
        )


def _refused(error: BaseException) -> str:
    """Why the exporter gave up: the operator, if one is named anywhere in the chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        match = re.search(r"No ONNX function found for (?:<OpOverload\()?([^\n>)]+)", str(cause))
        if match:
            return (
                f"ONNX knows no operator for {match[1].strip()}; write that step with others, or "
                "type output=grid if it only belongs to what comes after the network"
            )
        cause = cause.__cause__ or cause.__context__
    return f"torch cannot export this network to ONNX: {first_line(error)}"
