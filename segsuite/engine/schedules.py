"""Learning-rate schedules, in iterations (optimiser steps)."""

from functools import partial
from typing import Annotated

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from segsuite.core.hints import Between, NotNegative, Share
from segsuite.core.idle import counts


def poly_factor(
    step: int,
    *,
    max_steps: int,
    power: float = 0.9,
    warmup: int = 0,
    warmup_ratio: float = 1e-6,
    min_ratio: float = 0.0,
) -> float:
    """What the learning rate is multiplied with at an iteration (counted from 0).

    Polynomial decay from 1 to `min_ratio` over `max_steps`; during the first `warmup` iterations
    this is further multiplied by a factor that grows linearly from `warmup_ratio` to 1, as in
    mmsegmentation, so that after the warm-up the curve is where it would have been without.
    """
    progress = min(step / max(max_steps, 1), 1.0)
    factor = (1.0 - progress) ** power * (1.0 - min_ratio) + min_ratio
    if step < warmup:
        factor *= warmup_ratio + (1.0 - warmup_ratio) * step / warmup
    return factor


@counts(warmup_ratio={"warmup": ()})
def poly(
    optimizer: Optimizer,
    *,
    max_steps: int,
    power: NotNegative = 0.9,
    warmup: Annotated[int, Between(0)] = 0,
    warmup_ratio: Share = 1e-6,
    min_ratio: Share = 0.0,
) -> LambdaLR:
    """A scheduler of `poly_factor`, to be stepped after every iteration.

    A group of parameters may have a `power` of its own (see `engine.optim`).
    """

    shape = {"max_steps": max_steps, "warmup": warmup, "warmup_ratio": warmup_ratio}
    powers = [group.get("power", power) for group in optimizer.param_groups]
    factors = [partial(poly_factor, power=p, min_ratio=min_ratio, **shape) for p in powers]
    return LambdaLR(optimizer, factors)


@counts(slow_ratio={"slow_steps": ()})
def slow_poly(
    optimizer: Optimizer,
    *,
    max_steps: int,
    power: NotNegative = 0.9,
    slow_steps: Annotated[int, Between(0)] = 0,
    slow_ratio: Share = 0.1,
) -> LambdaLR:
    """A scheduler of `poly_factor` that begins with a low, constant rate, as DeepLab's code does.

    Args:
        slow_steps: iterations at `slow_ratio`; the curve then goes on where it would have been.
    """

    def factor(step: int) -> float:
        if step < slow_steps:
            return slow_ratio
        return poly_factor(step, max_steps=max_steps, power=power)

    return LambdaLR(optimizer, factor)


def constant(
    optimizer: Optimizer, *, max_steps: int, warmup: Annotated[int, Between(0)] = 0
) -> LambdaLR:
    """A scheduler that keeps the learning rate, after a linear warm-up."""
    del max_steps  # every schedule is told; this one has no use for it
    return LambdaLR(optimizer, lambda step: min((step + 1) / (warmup + 1), 1.0))


def exponential(
    optimizer: Optimizer,
    *,
    max_steps: int,
    factor: Annotated[float, Between(0, 1)],
    every: Annotated[int, Between(1)] = 1,
    warmup: Annotated[int, Between(0)] = 0,
) -> LambdaLR:
    """A scheduler that multiplies the learning rate by `factor` once in `every` iterations.

    Args:
        warmup: iterations of a linear warm-up, by which it is further multiplied.
    """
    del max_steps  # every schedule is told; this one has no use for it

    def at(step: int) -> float:
        return factor ** (step // every) * min((step + 1) / (warmup + 1), 1.0)

    return LambdaLR(optimizer, at)
