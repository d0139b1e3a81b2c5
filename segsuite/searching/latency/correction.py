"""From the sum of the parts to the whole: fitted on whole networks, with how far it may be off.

A network is no sum of its parts: what one leaves in the caches the next one finds there, and a GPU
overlaps branches. So time = a + b * sum + c * kernels + d * bytes, of which none is negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segsuite.core.errors import ConfigError
from segsuite.exporting.errors import needed

Array = NDArray[np.float64]

LEAST = 8
"""Networks, for four numbers to be fitted and their error to be known."""

_REACH = 2.0
"""Standard deviations in a band: nineteen of twenty networks lie within."""


@dataclass(frozen=True)
class Correction:
    """A fit.

    Attributes:
        weights: of one, the sum of the parts, kernels and bytes.
        error: standard deviation of the relative errors of networks that were left out.
        spread: how much each direction of the fit is known by, (4, 4).
    """

    weights: Array
    error: float
    spread: Array

    def __call__(self, features: Array) -> Array:
        """Seconds of networks.

        Shapes: features (N, 4) -> (N,)
        """
        return features @ self.weights

    def band(self, features: Array) -> Array:
        """By how many seconds these may be off: more where no network like it was measured.

        Shapes: features (N, 4) -> (N,)
        """
        seconds = self(features)
        scaled = features / np.maximum(seconds, 1e-12)[:, None]
        far = np.einsum("ni,ij,nj->n", scaled, self.spread, scaled)
        return _REACH * self.error * np.sqrt(1 + far) * seconds


def fitted(features: Array, seconds: Sequence[float]) -> Correction:
    """The correction that makes the relative errors least.

    Shapes: features (N, 4): one, the sum of the parts, kernels, bytes; seconds (N,)

    Raises:
        ConfigError: too few networks.
    """
    taken = np.asarray(seconds, float)
    if len(taken) < LEAST:
        raise ConfigError(
            f"{len(taken)} whole networks cannot correct a table; measure {LEAST} or more "
            f"(networks=30)"
        )
    scaled = features / taken[:, None]  # errors in shares of the time
    weights = _least_squares(scaled)
    left_out = [
        scaled[i] @ _least_squares(np.delete(scaled, i, axis=0)) - 1 for i in range(len(taken))
    ]
    units = np.maximum(scaled.max(0), 1e-30)  # bytes are a million times seconds
    spread = np.linalg.pinv((scaled / units).T @ (scaled / units)) / np.outer(units, units)
    return Correction(weights, float(np.sqrt(np.mean(np.square(left_out)))), spread)


def _least_squares(scaled: Array) -> Array:
    """Weights, none negative, with which each row is nearest to 1."""
    units = np.maximum(scaled.max(0), 1e-30)
    optimize = needed("scipy.optimize", "search")
    return optimize.nnls(scaled / units, np.ones(len(scaled)))[0] / units
