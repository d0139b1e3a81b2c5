"""ExecuTorch programs for XNNPACK, float and int8, and how they are run."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segsuite.exporting.errors import ExportError, needed
from segsuite.exporting.graph import Graph
from segsuite.exporting.onnx_file import quietly
from segsuite.runtime.session import first_line

EXTRA = "executorch"
_XNNPACK = "executorch.backends.xnnpack"


def to_program(graph: Graph, *, images: Tensor | None = None) -> Any:
    """The graph lowered to XNNPACK; takes (1, 3, H, W) float in 0..255.

    Args:
        images: images (P, 3, H, W) to calibrate int8 with: weights with a scale per channel,
            activations with the range that these images reach. None for float.

    Raises:
        ExportError: ExecuTorch knows no such operator, or torch cannot trace the network.
        MissingExtra: executorch or torchao is not installed.
    """
    with quietly():
        partitioner = needed(f"{_XNNPACK}.partition.xnnpack_partitioner", EXTRA)
        lowering = needed("executorch.exir", EXTRA)
        example = (torch.zeros(1, 3, *graph.size),)
        try:
            traced = torch.export.export(graph.eval(), example)
            if images is not None:
                traced = torch.export.export(_quantised(traced.module(), images), example)
            edge = lowering.to_edge_transform_and_lower(
                traced, partitioner=[partitioner.XnnpackPartitioner()]
            )
            return edge.to_executorch()
        except Exception as error:
            raise ExportError(_refused(error)) from error


def write_program(program: Any, path: Path) -> None:
    """Writes the program."""
    with open(path, "wb") as file:
        program.write_to_file(file)


class ExecutorchRunner:
    """Runs a .pte file on the CPU.

    Args:
        threads: threads of XNNPACK; one pool serves all programs of this process.

    Raises:
        ExportError: the runtime cannot load it, for instance for an operator that it lacks.
        MissingExtra: executorch is not installed.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        runtime = needed("executorch.runtime", EXTRA)
        pool = needed("executorch.extension.pybindings.portable_lib", EXTRA)
        pool._unsafe_reset_threadpool(threads)
        try:
            self._program = runtime.Runtime.get().load_program(str(path))
            self._method = self._program.load_method("forward")
        except Exception as error:
            raise ExportError(f"ExecuTorch cannot load {path}: {error}") from error

    def __call__(self, image: Tensor) -> list[Tensor]:
        """All outputs.

        Shapes: image (1, 3, H, W)
        """
        # A copy: the runtime's own memory is written over by the next call.
        try:
            return [output.clone() for output in self._method.execute([image.float()])]
        except RuntimeError as error:
            raise ExportError(f"ExecuTorch cannot run it: {first_line(error)}") from error


def _quantised(module: Any, images: Tensor) -> Any:
    quantizer = needed(f"{_XNNPACK}.quantizer.xnnpack_quantizer", EXTRA)
    pt2e = needed("torchao.quantization.pt2e.quantize_pt2e", EXTRA)
    chosen = quantizer.XNNPACKQuantizer().set_global(
        quantizer.get_symmetric_quantization_config(is_per_channel=True)
    )
    watched = pt2e.prepare_pt2e(module, chosen)
    with torch.inference_mode():
        for image in images:
            watched(image[None].float())
    return pt2e.convert_pt2e(watched)


def _refused(error: BaseException) -> str:
    match = re.search(r"(?:Missing out variants|not supported|Unsupported)[^\n]*", str(error))
    said = match[0] if match else next(iter(str(error).splitlines()), type(error).__name__)
    return (
        f"ExecuTorch cannot take this network: {said}; write that step with other operators, or "
        "type output=grid if it only belongs to what comes after the network"
    )
