"""How many tokens each stretch of blocks works on, over images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from segsuite.nn.token_trace import TokenTrace


@dataclass(frozen=True)
class StageTokens:
    """Tokens of one stretch of blocks.

    Attributes:
        after: number of blocks done when the stretch begins.
        mean, least, most: number of alive tokens of an image.
        computed: mean number of rows of an image that the machine works on; more than alive under
            masking.
    """

    after: int
    mean: float
    least: int
    most: int
    computed: float


def tokens_per_stage(traces: Sequence[TokenTrace]) -> list[StageTokens]:
    """One entry per stretch of blocks, over the images of all traces."""
    if len({tuple(stage.after for stage in trace.stages) for trace in traces}) > 1:
        raise ValueError("these traces are of networks with different exits")
    counts = torch.cat([trace.counts() for trace in traces]).cpu()
    computed = torch.tensor(
        [[s.slots.shape[1] for s in t.stages] for t in traces for _ in range(t.owner.shape[0])],
        dtype=torch.float64,
    )
    return [
        StageTokens(
            after=stage.after,
            mean=counts[:, i].double().mean().item(),
            least=int(counts[:, i].min()),
            most=int(counts[:, i].max()),
            computed=computed[:, i].mean().item(),
        )
        for i, stage in enumerate(traces[0].stages)
    ]


def to_dicts(stages: Sequence[StageTokens]) -> list[dict[str, float]]:
    """Plain types."""
    return [asdict(stage) for stage in stages]


def shown(stages: Sequence[StageTokens]) -> str:
    """ "715 → 512 of 715": mean alive tokens by stretch, and rows computed where those are more."""
    return " → ".join(
        f"{s.mean:.0f}"
        if round(s.computed) == round(s.mean)
        else f"{s.mean:.0f} of {s.computed:.0f}"
        for s in stages
    )
