"""What other networks cost where candidates are measured, for the axes of a search's plot."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from segsuite.core.sizes import Size
from segsuite.engine.inference.candidates import NamedNetworks
from segsuite.measure.memory import peak_bytes
from segsuite.measure.operations import count, count_parameters
from segsuite.nn.segmenter import Segmenter
from segsuite.searching.latency.measuring import in_turns
from segsuite.searching.latency.runtimes import Runtime
from segsuite.searching.objectives import LATENCY

ROUNDS = 10


class Labels(nn.Module):
    """From an image to labels."""

    def __init__(self, network: Segmenter, size: Size) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> Tensor:
        """(1, 3, H, W) uint8 -> (1, H, W)."""
        return self.network.predict(images).labels(self.size)


def costs_of(
    experiments: Sequence[str],
    names: Sequence[str],
    size: Size,
    runtime: Runtime | None,
    *,
    tell: Callable[[str], None],
) -> dict[str, dict[str, float]]:
    """Metrics of experiments' networks with random weights, which say nothing of accuracy.

    Args:
        names: the metrics that are wanted, without a mIoU.
        runtime: measures latencies, where they are wanted.
    """
    found: dict[str, dict[str, float]] = {}
    for experiment in experiments:
        tell(f"measuring {experiment} for the plot")
        built = NamedNetworks(experiments=[experiment], checkpoints=[], overrides=[])
        (candidate,) = built.built(size, data_overrides=[])
        assert candidate.network is not None  # an experiment's is never a file
        network = candidate.network.eval()
        image = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
        known: dict[str, Callable[[], float]] = {
            "gmacs": lambda network=network, image=image: count(network, image).everything.gmacs,
            "parameters": lambda network=network: float(count_parameters(network)),
            "memory": lambda network=network, image=image: _held(network, image, size),
        }
        found[experiment] = {name: known[name]() for name in names if name in known}
        if LATENCY in names and runtime is not None:
            (run,) = runtime.ready([(Labels(network, size), [image])])
            (taken,) = in_turns([run], rounds=ROUNDS)
            found[experiment][LATENCY] = 1e3 * sorted(taken)[len(taken) // 2]
    return found


def _held(network: Segmenter, image: Tensor, size: Size) -> float:
    with torch.no_grad():
        return peak_bytes(lambda: network.predict(image).labels(size), torch.device("cpu")) / 1e6
