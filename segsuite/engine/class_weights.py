"""Class weights that a loss asks for, counted in the training data before anything is trained."""

import logging
from typing import Any

from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.nn.class_weights import MEDIAN_FREQUENCY, ClassWeights

log = logging.getLogger(__name__)

_DRAWN = 200
"""Samples looked at where there are no files; files are counted once and remembered."""


def settle_class_weights(task: nn.Module, data: Any) -> None:
    """Gives every loss of the task its weights, and finds those that fit no class of the data.

    Raises:
        ConfigError: more or fewer weights than classes, or data that cannot be counted.
    """
    asked = [module for module in task.modules() if isinstance(module, ClassWeights)]
    pending = [weights for weights in asked if weights.pending]
    if pending:
        median_frequencies = _median_frequencies(data)
        for weights in pending:
            weights.settle(median_frequencies)
    for weights in asked:
        weights.of(len(data.classes))


def _median_frequencies(data: Any) -> list[float]:
    from segsuite.data.checks.inspection import report

    if not callable(getattr(data, "samples", None)):
        raise ConfigError(
            f"method.loss.class_weights={MEDIAN_FREQUENCY}: a {type(data).__name__} does not show "
            "its samples; give a list of weights"
        )
    samples, classes = data.samples("train"), data.classes
    folder = getattr(data, "verify_dir", None)
    weights = report("train", samples, classes, drawn=_DRAWN, folder=folder).loss_weights
    seen = {name: w for name, w in zip(classes.names, weights, strict=True) if w > 0}
    if seen:
        least, most = min(seen, key=seen.get), max(seen, key=seen.get)
        told = "class weights by median frequency of the training data: %.3g (%s) to %.3g (%s)"
        log.info(told, seen[least], least, seen[most], most)
    return weights
