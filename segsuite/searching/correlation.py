"""Correlations of two lists of numbers, by SciPy."""

import warnings
from collections.abc import Sequence
from typing import Literal

from segsuite.exporting.errors import needed

_FUNCTIONS = {"pearson": "pearsonr", "spearman": "spearmanr", "kendall": "kendalltau"}


def correlation(
    name: Literal["pearson", "spearman", "kendall"], first: Sequence[float], second: Sequence[float]
) -> float:
    """From -1 to 1; 0 where one of the lists is constant, of which nothing can be said.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    stats = needed("scipy.stats", "search")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant lists
        value = float(getattr(stats, _FUNCTIONS[name])(first, second)[0])
    return value if value == value else 0.0
