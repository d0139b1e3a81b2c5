"""A network of another library as the suite's tools want one."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count, Positive
from segsuite.core.sizes import Size
from segsuite.nn.normalize import Normalize
from segsuite.nn.predictions import GridPrediction
from segsuite.nn.segmenter import Segmenter


class OutsideSegmenter(Segmenter):
    """Any module that makes class scores of normalised images.

    Args:
        network: takes (B, 3, H, W), and gives scores (B, K, h, w); or several things, of which the
            first is these, or a mapping that has them as `out`. What else it gives, such as scores
            of auxiliary heads, is neither learnt from nor read.
        num_classes: K.
        size_divisor: what images' sides are multiples of.
        mean, std: mean and standard deviation of the pixels, in 0..255.
        momentum: of its batch norms; None for the library's own. Some libraries have 0.01, with
            which statistics lag behind in trainings of hundreds of iterations.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        num_classes: Count,
        size_divisor: Count = 32,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[Positive] = (58.395, 57.12, 57.375),
        momentum: Positive | None = None,
    ) -> None:
        super().__init__()
        for norm in network.modules() if momentum is not None else ():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = momentum
        self.network, self.num_classes = network, num_classes
        self.size_divisor, self.pad_value = size_divisor, tuple(mean)
        self.normalize = Normalize(mean=tuple(mean), std=tuple(std))

    def forward(self, images: Tensor) -> GridPrediction:
        """Class scores at the stride that the network gives them at.

        Shapes: images (B, 3, H, W) in 0..255

        Raises:
            ConfigError: what the network gives is no map of `num_classes` scores.
        """
        self.check_size(images)
        pixels = self.normalize(images)
        if not torch.compiler.is_exporting():  # as the suite's own, so that times compare
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return GridPrediction(self._scores(self.network(pixels)))

    def predict(self, images: Tensor) -> GridPrediction:
        """The same."""
        return self(images)

    def log_probabilities(self, output: GridPrediction, size: Size) -> Tensor:
        """(B, K, *size)."""
        return output.scores(size).float().log_softmax(1)

    def _scores(self, given: Any) -> Tensor:
        if isinstance(given, Mapping):
            given = given.get("out")
        elif isinstance(given, tuple | list) and given:
            given = given[0]
        if not isinstance(given, Tensor) or given.ndim != 4 or given.shape[1] != self.num_classes:
            got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ConfigError(
                f"{type(self.network).__name__} gives {got} where scores of (batch, "
                f"{self.num_classes}, height, width) are expected"
            )
        return given
