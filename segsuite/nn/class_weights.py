"""Weights of classes in a loss: given, in a file, or to be counted in the training data."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError, did_you_mean

MEDIAN_FREQUENCY = "median_frequency"
_KEY = "method.loss.class_weights"
_MOST = torch.finfo(torch.float32).max


class ClassWeights(nn.Module):
    """One number per class, known from the beginning or once the data are.

    Args:
        given: the weights: None, all classes alike; a list; a JSON file with one, such as
            check_data's class_weights.json; or `median_frequency` (Eigen and Fergus, ICCV 2015),
            which `settle` gets from the data.

    Raises:
        ConfigError: a list that holds a number that is no weight, or what is no list and no text.
    """

    values: Tensor | None
    """(C,) float32, not in checkpoints: the config that made them is."""

    def __init__(self, given: Sequence[float] | str | None = None) -> None:
        super().__init__()
        self.pending = given == MEDIAN_FREQUENCY
        self._fault: ConfigError | None = None
        weights = None
        try:
            weights = None if self.pending or given is None else _numbers(given)
        except ConfigError as error:
            if not isinstance(given, str):
                raise
            self._fault = error  # a file may be gone when a checkpoint is only evaluated
        self.register_buffer("values", weights, persistent=False)

    def settle(self, weights: Sequence[float]) -> None:
        """Gives what was to be counted in the data."""
        self.values, self.pending = _numbers(list(weights)), False

    def of(self, classes: int) -> Tensor | None:
        """(classes,) float32, or None where all count alike.

        Raises:
            ConfigError: there are more or fewer of them, they are not known yet, or the file that
                holds them cannot be read.
        """
        if self._fault is not None:
            raise self._fault
        if self.pending:
            raise ConfigError(
                f"{_KEY}={MEDIAN_FREQUENCY} is counted in the training data, and there are none "
                f"here; give a list, or leave it out"
            )
        if self.values is not None and len(self.values) != classes:
            raise ConfigError(
                f"{_KEY} has {len(self.values)} numbers, but the data have {classes} classes; give "
                "one for each, in the order of the class table"
            )
        return self.values


def _numbers(given: Sequence[float] | str) -> Tensor:
    numbers = _read(given) if isinstance(given, str) else given
    where = f"{_KEY}={given}" if isinstance(given, str) else _KEY
    if not isinstance(numbers, list | tuple) or not numbers:
        raise ConfigError(
            f"{_KEY}={str(given)[:60]} is no list of weights; give one such as [1.0, 2.5], a JSON "
            f"file with a list, or {MEDIAN_FREQUENCY}"
        )
    for place, number in enumerate(numbers):
        fine = isinstance(number, int | float) and not isinstance(number, bool)
        if not fine or not 0 <= number <= _MOST:
            raise ConfigError(
                f"{where}: the weight of class {place} is {str(number)[:40]}; expected is a number "
                "of at least 0"
            )
    if not any(numbers):
        raise ConfigError(f"{where}: all weights are 0, so that there is nothing to learn")
    return torch.tensor(numbers, dtype=torch.float32)


def _read(file: str) -> object:
    path = Path(file).expanduser()
    if not path.is_file():
        near = did_you_mean(file, [MEDIAN_FREQUENCY])
        hint = near if "did you mean" in near else f"; there is also {MEDIAN_FREQUENCY}"
        raise ConfigError(f"{_KEY}={file}: there is no such file{hint}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError(
            f"{_KEY}={file} cannot be read as JSON ({error}); give a list such as [1.0, 2.5]"
        ) from error
