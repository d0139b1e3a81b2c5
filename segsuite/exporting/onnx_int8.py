"""Convolutions in 8 bits by ONNX Runtime's static quantisation."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from segsuite.exporting.errors import ExportError, needed
from segsuite.exporting.onnx_file import EXTRA, quietly
from segsuite.runtime.description import INPUT

_KINDS = (
    *("Conv", "Relu", "Clip", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("ReduceMean", "Concat", "Slice", "Split", "Reshape", "Unsqueeze", "Squeeze", "Transpose"),
    *("MatMul", "Gemm"),
)


def quantised(model: Any, images: Tensor) -> Any:
    """The model with 8-bit weights and activations, as QuantizeLinear and DequantizeLinear.

    Weights are signed, with a scale per channel, and activations unsigned, with the range that the
    images reach. Weights and other constants have 7 bits: processors without VNNI add two
    products in 16 bits, where those of 8 saturate. What comes before the first convolution stays
    in float, and so do the last one (the classifier) and all behind it: eight bits would make
    classes tie.

    Args:
        model: an onnx.ModelProto.
        images: images (P, 3, H, W) uint8 to calibrate with.

    Raises:
        ExportError: the model cannot be quantised.
    """
    import onnx

    quantization = needed("onnxruntime.quantization", EXTRA)
    shapes = needed("onnxruntime.quantization.shape_inference", EXTRA)
    with tempfile.TemporaryDirectory() as folder:
        source, ready, done = (Path(folder) / f"{n}.onnx" for n in ("float", "ready", "int8"))
        onnx.save_model(model, str(source))
        try:
            with quietly():
                shapes.quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
                quantization.quantize_static(
                    str(ready),
                    str(done),
                    _Images(images),
                    quant_format=quantization.QuantFormat.QDQ,
                    op_types_to_quantize=list(_KINDS),
                    nodes_to_exclude=kept_in_float(onnx.load(str(ready)).graph),
                    per_channel=True,
                    reduce_range=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                )
        except Exception as error:
            raise ExportError(f"ONNX Runtime cannot quantise this network: {error}") from error
        return onnx.load(str(done))


def kept_in_float(graph: Any) -> list[str]:
    """Names of nodes that no convolution precedes or none follows; the first one aside."""
    made_by = {name: node for node in graph.node for name in node.output}
    behind: dict[str, bool] = {}
    for node in graph.node:  # ONNX keeps nodes in running order
        sources = [made_by[name] for name in node.input if name in made_by]
        behind[node.name] = any(s.op_type == "Conv" or behind[s.name] for s in sources)
    leads: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Conv" or node.name in leads:
            leads |= {made_by[name].name for name in node.input if name in made_by}
    return [
        node.name
        for node in graph.node
        if node.name not in leads or not (behind[node.name] or node.op_type == "Conv")
    ]


class _Images:
    """ONNX Runtime's idea of a calibration set."""

    def __init__(self, images: Tensor) -> None:
        self._next: Iterator[Tensor] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """One image as the model's input; None at the end."""
        image = next(self._next, None)
        return None if image is None else {INPUT: image[None].numpy()}
