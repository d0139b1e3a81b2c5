"""What other networks cost where candidates are measured, for the axes of a search's plot."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.engine.inference.candidates import NamedNetworks
from segsuite.measure.memory import peak_bytes
from segsuite.measure.operations import count, count_used_parameters
from segsuite.nn.recalibration import recalibrate
from segsuite.nn.segmenter import Segmenter
from segsuite.nn.whole import Whole
from segsuite.searching.latency.model import LatencyModel
from segsuite.searching.objectives import LATENCY, MEMORY


def costs_of(
    experiments: Sequence[str],
    names: Sequence[str],
    size: Size,
    *,
    latency: LatencyModel | None,
    allow: Sequence[str],
    tell: Callable[[str], None],
) -> dict[str, dict[str, float]]:
    """Metrics of experiments' networks with random weights, which say nothing of accuracy.

    Those that cannot be measured are left out, which is told.

    Args:
        names: the metrics that are wanted, without a mIoU.
        latency: measures latencies, where they are wanted.
        allow: import prefixes of other people's networks.
    """
    found: dict[str, dict[str, float]] = {}
    for experiment in experiments:
        tell(f"measuring {experiment} for the plot")
        try:
            built = NamedNetworks(
                experiments=[experiment], checkpoints=[], overrides=[], allow=list(allow)
            )
            (candidate,) = built.built(size, data_overrides=[])
            assert candidate.network is not None  # an experiment's is never a file
            found[experiment] = _costs(candidate.network.eval(), names, size, latency)
        except Exception as error:  # of whatever library: a plot is no reason to end a search
            tell(f"{experiment} is not in the plot: {type(error).__name__}: {error}")
    return found


def _costs(
    network: Segmenter, names: Sequence[str], size: Size, latency: LatencyModel | None
) -> dict[str, float]:
    image = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
    recalibrate(network, [image.repeat(2, 1, 1, 1)])  # as candidates are, see `Pieces`
    known: dict[str, Callable[[], float]] = {
        "gmacs": lambda: count(network, image).everything.gmacs,
        "parameters": lambda: float(count_used_parameters(network)),
        MEMORY: lambda: _held(network, image, size),
    }
    if latency is not None:
        known[LATENCY] = lambda: latency.timed((Whole(network, size), [image]))
    return {name: known[name]() for name in names}


def _held(network: Segmenter, image: Tensor, size: Size) -> float:
    with torch.no_grad():
        return peak_bytes(lambda: network.predict(image).labels(size), torch.device("cpu")) / 1e6
