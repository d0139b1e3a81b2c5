"""From an image to labels: in torch as it is, deployed, compiled, and by files elsewhere."""

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError, SegsuiteError, did_you_mean
from segsuite.core.sizes import Size
from segsuite.exporting.errors import ExportError
from segsuite.exporting.formats import formats
from segsuite.exporting.graph import Graph, semantic
from segsuite.nn.deploy import deployed
from segsuite.nn.segmenter import Segmenter
from segsuite.runtime.session import first_line

Labelling = Callable[[Tensor], Tensor]
"""An image (1, 3, H, W) uint8 to labels (1, H, W)."""


@dataclass(frozen=True)
class NotPossible:
    """A runtime that is not installed or cannot take the network, and why."""

    runtime: str
    size: Size
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return vars(self) | {"size": list(self.size)}


def check_names(names: Sequence[str]) -> None:
    """Raises ConfigError for a runtime that there is not, or for none at all."""
    for name in names:
        if name not in RUNTIMES:
            near = did_you_mean(name, RUNTIMES)
            raise ConfigError(f"probe.names: {name} is not one of {', '.join(RUNTIMES)}{near}")
    if not names:
        raise ConfigError(f"probe.names=[] measures nothing; known: {', '.join(RUNTIMES)}")


def prepared(
    names: Sequence[str],
    network: Segmenter,
    size: Size,
    calibration: Tensor,
    threads: int,
    *,
    tell: Callable[[str], None],
) -> tuple[dict[str, Labelling], list[NotPossible]]:
    """The runtimes that can take the network, each tried once, and the others.

    Shapes: calibration (P, 3, *size) uint8

    Raises:
        ExportError: there is none that can.
    """
    runs: dict[str, Labelling] = {}
    refused: list[NotPossible] = []
    for name in names:
        tell(f"preparing {name} at {size[1]}x{size[0]}")
        try:
            runs[name] = RUNTIMES[name](network, size, calibration, threads)
            with torch.inference_mode():
                runs[name](calibration[:1])
        except SegsuiteError as error:
            runs.pop(name, None)
            refused.append(NotPossible(name, size, str(error)))
            tell(f"{name} is not possible: {error}")
    if not runs:
        reasons = "; ".join(f"{refusal.runtime}: {refusal.reason}" for refusal in refused)
        raise ExportError(f"none of the runtimes can be measured: {reasons}")
    return runs, refused


def _eager(network: Segmenter, size: Size, _: Tensor, __: int) -> Labelling:
    """As most would write it: scores of all pixels, then argmax, channels first throughout."""

    plain = _with_usual_layout(network)
    return lambda image: plain.predict(image).scores(size).argmax(dim=1)


def _with_usual_layout(network: Segmenter) -> Segmenter:
    """A copy whose parts get their maps in torch's usual layout, whatever the network prefers."""

    def usual(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in inputs)

    plain = copy.deepcopy(network)
    for part in plain.children():
        part.register_forward_pre_hook(usual)
    return plain


def _channels_last(network: Segmenter, size: Size, _: Tensor, __: int) -> Labelling:
    """The network as it is here: channels last, and labels without scores of all pixels."""
    return lambda image: network.predict(image).labels(size)


def _deployed(network: Segmenter, size: Size, calibration: Tensor, _: int) -> Labelling:
    ready = deployed(network, lambda n: n.predict(calibration[:1]))
    return lambda image: ready.predict(image).labels(size)


def _compiled(network: Segmenter, size: Size, calibration: Tensor, _: int) -> Labelling:
    """Deployed and compiled with its weights as constants; to be run in inference mode."""
    ready = deployed(network, lambda n: n.predict(calibration[:1]))
    torch._dynamo.reset()  # beyond eight sizes it would go on uncompiled, and say nothing
    run = torch.compile(lambda image: ready.predict(image).labels(size), dynamic=False)
    try:
        with torch.inference_mode(), torch._inductor.config.patch(freezing=True):
            run(calibration[:1])
    except Exception as error:
        raise ExportError(f"torch.compile cannot take it: {first_line(error)}") from error
    return run


def _exported(format_: str, output: str) -> Callable[..., Labelling]:
    """By a file; labels are made in it, or from its coarse scores where it is slow at that."""

    def prepared(network: Segmenter, size: Size, calibration: Tensor, threads: int) -> Labelling:
        (wanted,) = formats([format_])
        wanted.check()
        graph = Graph(network, size=size, output=output)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = Path(folder) / f"network{wanted.suffix}"
            made = wanted.made(graph, path, calibration, opset=18, threads=threads)
        if output == "labels":
            return lambda image: made.run(image)[0]
        with torch.inference_mode():
            like = semantic(network.predict(calibration[:1]))
        # Labels of all pixels from coarse scores, as the network's own prediction makes them.
        return lambda image: replace(like, grid_scores=made.run(image)[0]).labels(size)

    return prepared


RUNTIMES: dict[str, Callable[[Segmenter, Size, Tensor, int], Labelling]] = {
    "eager": _eager,
    "channels_last": _channels_last,
    "deployed": _deployed,
    "compile": _compiled,
    "onnx": _exported("onnx", "labels"),
    "onnx_int8": _exported("onnx_int8", "labels"),
    "executorch": _exported("executorch", "grid"),
    "executorch_int8": _exported("executorch_int8", "grid"),
    "litert": _exported("litert", "grid"),
    "litert_int8": _exported("litert_int8", "grid"),
}
