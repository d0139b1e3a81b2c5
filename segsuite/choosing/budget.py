"""What a network may cost, and whether it does."""

from collections.abc import Mapping
from dataclasses import dataclass

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Positive

COSTS = {"ms": "ms", "mb": "MB", "gmacs": "GMACs", "params": "M parameters"}
"""What is measured of each network, and its unit."""


@dataclass(frozen=True)
class Budget:
    """The most that is allowed of each; None for what does not matter.

    Attributes:
        ms: milliseconds of one image, from pixels to labels.
        mb: 1e6 bytes of weights and of what is held at most on the way to labels, in float32.
        gmacs: 1e9 multiply-adds of one image.
        params: 1e6 parameters.
    """

    ms: float | None = None
    mb: float | None = None
    gmacs: float | None = None
    params: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Those that were set."""
        return {name: limit for name in COSTS if (limit := getattr(self, name)) is not None}

    def exceeded(self, costs: Mapping[str, float]) -> list[str]:
        """What a network costs too much of, in words."""
        return [
            f"{costs[name]:.4g} {COSTS[name]}"
            for name, limit in self.limits.items()
            if costs[name] > limit
        ]

    def __str__(self) -> str:
        return ", ".join(f"{limit:g} {COSTS[name]}" for name, limit in self.limits.items())


def budget(
    *,
    ms: Positive | None = None,
    mb: Positive | None = None,
    gmacs: Positive | None = None,
    params: Positive | None = None,
) -> Budget:
    """The budget that was typed.

    Raises:
        ConfigError: nothing was.
    """
    made = Budget(ms, mb, gmacs, params)
    if not made.limits:
        raise ConfigError(
            "no budget was given; type one or several of budget.ms=20 (milliseconds), "
            "budget.mb=50 (MB of weights and maps), budget.gmacs=2 and budget.params=5 (millions)"
        )
    return made
