"""LiteRT files, float and int8, and how they are run.

The exporter asks for an older torch than the suite's newest: it wants an environment of its own.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segsuite.exporting.errors import ExportError, needed
from segsuite.exporting.graph import Graph
from segsuite.exporting.onnx_file import quietly
from segsuite.runtime.session import first_line

EXTRA = "litert"


def write_litert(graph: Graph, path: Path, *, images: Tensor | None = None) -> None:
    """Writes the graph as a file for LiteRT; takes (1, 3, H, W) in 0..255, float or (int8) scaled.

    Args:
        images: images (P, 3, H, W) to calibrate int8 with: weights with a scale per channel,
            activations, input and output with the range that these images reach. None for float.

    Raises:
        ExportError: LiteRT knows no such operator, or torch cannot trace the network.
        MissingExtra: litert_torch or ai_edge_quantizer is not installed.
    """
    exporter = needed("litert_torch", EXTRA)
    with quietly():
        try:
            model = exporter.convert(graph.eval(), (torch.zeros(1, 3, *graph.size),))
            if images is None:
                model.export(str(path))
            else:
                _write_quantised(model, path, images)
        except Exception as error:
            raise ExportError(f"LiteRT cannot take this network: {first_line(error)}") from error


class LitertRunner:
    """Runs a LiteRT file on the CPU, by XNNPACK.

    Args:
        threads: threads of one operator.

    Raises:
        ExportError: the runtime cannot load it, for instance for an operator that it lacks.
        MissingExtra: ai_edge_litert is not installed.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        litert = needed("ai_edge_litert.interpreter", EXTRA)
        try:
            self._model = litert.Interpreter(model_path=str(path), num_threads=threads)
            self._model.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"LiteRT cannot load {path}: {first_line(error)}") from error
        (self._input,) = self._model.get_input_details()
        self._outputs = self._model.get_output_details()

    def __call__(self, image: Tensor) -> list[Tensor]:
        """All outputs, in floating point if they are scores.

        Shapes: image (1, 3, H, W)
        """
        given = image.numpy().astype(np.float32)
        self._model.set_tensor(self._input["index"], _stored(given, self._input))
        try:
            self._model.invoke()
        except RuntimeError as error:
            raise ExportError(f"LiteRT cannot run it: {first_line(error)}") from error
        return [
            torch.from_numpy(_meant(self._model.get_tensor(details["index"]), details))
            for details in self._outputs
        ]


def _write_quantised(model: Any, path: Path, images: Tensor) -> None:
    quantizer, recipe, calibrator, manager, ranges = (
        needed(f"ai_edge_quantizer.{module}", EXTRA)
        for module in ("quantizer", "recipe", "calibrator", "recipe_manager", "utils.qsv_utils")
    )
    litert = needed("ai_edge_litert.interpreter", EXTRA)
    with tempfile.TemporaryDirectory() as folder:
        plain = str(Path(folder) / "float.tflite")
        model.export(plain)
        ((name, signature),) = litert.Interpreter(plain).get_signature_list().items()
        (taken,) = signature["inputs"]
        rules = manager.RecipeManager()
        rules.load_quantization_recipe(recipe.static_wi8_ai8())
        # By itself it takes a moving average of the ranges, which cuts off a third of the scores.
        watched = calibrator.Calibrator(plain, qsv_update_func=ranges.min_max_update)
        seen = [{taken: image[None].float().numpy()} for image in images]
        watched.calibrate({name: seen}, rules)
        job = quantizer.Quantizer(plain, recipe.static_wi8_ai8())
        job.quantize(watched.get_model_qsvs()).export_model(str(path), overwrite=True)


def _stored(values: NDArray[np.float32], details: dict[str, Any]) -> NDArray[Any]:
    """Numbers as a tensor of the file holds them."""
    scale, zero = details["quantization"]
    if scale == 0:
        return values
    limits = np.iinfo(details["dtype"])
    return np.clip(np.rint(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _meant(values: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    """What a tensor of the file says: scores in float, class ids as they are."""
    scale, zero = details["quantization"]
    return values if scale == 0 else (values.astype(np.float32) - zero) * np.float32(scale)
