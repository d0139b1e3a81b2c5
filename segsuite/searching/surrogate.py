"""A prediction of a metric from numbers that describe an architecture, and how far to trust it.

Ridge regressions on samples drawn with replacement; where they disagree, too little is known. Few
examples and many features: an architecture's accuracy is close to a sum of what its parts add.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STRENGTHS = 10.0 ** np.arange(-2, 5)


class RidgeEnsemble:
    """Learns one metric.

    Args:
        features: what describes each example.
        values: the metric of each.
        members: how many regressions there are.
        generator: draws their samples.

    Shapes: features (N, F); values (N,)
    """

    def __init__(
        self, features: Array, values: Array, *, members: int, generator: np.random.Generator
    ) -> None:
        self._middle, self._spread = features.mean(0), features.std(0)
        self._spread[self._spread == 0] = 1.0
        scaled = self._scaled(features)
        strength = _strength(scaled, values)
        drawn = (generator.integers(0, len(values), len(values)) for _ in range(members))
        fits = [_ridge(scaled[places], values[places], strength) for places in drawn]
        self._weights = np.stack([weights for weights, _ in fits], axis=1)
        self._offsets = np.array([offset for _, offset in fits])

    def __call__(self, features: Array) -> tuple[Array, Array]:
        """The metric, and the standard deviation over the members.

        Shapes: features (N, F) -> (N,), (N,)
        """
        each = self._scaled(features) @ self._weights + self._offsets
        return each.mean(1), each.std(1)

    def _scaled(self, features: Array) -> Array:
        return (features - self._middle) / self._spread


def _ridge(features: Array, values: Array, strength: float) -> tuple[Array, float]:
    """Weights and offset; by the matrix of examples, of which there are fewer than features."""
    middle, mean = features.mean(0), values.mean()
    x, y = features - middle, values - mean
    weights = x.T @ np.linalg.solve(x @ x.T + strength * np.eye(len(x)), y)
    return weights, float(mean - middle @ weights)


def _strength(features: Array, values: Array) -> float:
    """The penalty whose predictions of left-out examples are best (in closed form)."""
    y, count = values - values.mean(), len(values)
    x = features - features.mean(0)
    lengths, axes = np.linalg.eigh(x @ x.T)

    def error(strength: float) -> float:
        # The offset takes a share 1/N of each example.
        hat = (axes * (lengths / (lengths + strength))) @ axes.T + 1 / count
        return float(
            (((y - (hat - 1 / count) @ y) / (1 - np.diag(hat).clip(max=0.999))) ** 2).sum()
        )

    return min(_STRENGTHS * max(float(x.shape[1]), 1.0) / 10, key=error)
