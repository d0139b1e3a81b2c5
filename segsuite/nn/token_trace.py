"""Which tokens a token-reducing network kept, stage by stage."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segsuite.core.sizes import Size


@dataclass(frozen=True)
class TokenStage:
    """The tokens that a stretch of blocks works on.

    Attributes:
        after: number of blocks done when the stage begins; 0 for the first.
        slots: (B, n) int64, which slots are alive.
        valid: (B, n) bool, False for padding and for frozen rows; None when all n are alive.
    """

    after: int
    slots: Tensor
    valid: Tensor | None = None


@dataclass(frozen=True)
class TokenTrace:
    """What a token-reducing network kept, for FLOP counts, images and metrics.

    Attributes:
        grid: number of patches in (rows, columns).
        patch: side of a patch in pixels, as the network sees it.
        owner: (B, rows * columns) int64, the slot of each patch; patches of one slot share a token.
        stages: the stages from the first block to the last.
        image: (height, width) of the images in pixels, where the network sees them at another size.
    """

    grid: Size
    patch: int
    owner: Tensor
    stages: tuple[TokenStage, ...]
    image: Size | None = None

    @property
    def covers(self) -> Size:
        """(height, width) in pixels of the images that the grid covers."""
        return self.image or (self.grid[0] * self.patch, self.grid[1] * self.patch)

    def counts(self) -> Tensor:
        """(B, stages) int64: alive tokens per image and stage."""
        columns = [
            s.valid.sum(1)
            if s.valid is not None
            else s.slots.new_full(s.slots.shape[:1], s.slots.shape[1])
            for s in self.stages
        ]
        return torch.stack(columns, dim=1)

    def alive(self, stage: int) -> Tensor:
        """(B, rows, columns) bool: patches whose token is still worked on in that stage."""
        chosen = self.stages[stage]
        slots = int(self.owner.max()) + 1
        kept = self.owner.new_zeros((self.owner.shape[0], max(slots, chosen.slots.shape[1])))
        valid = torch.ones_like(chosen.slots) if chosen.valid is None else chosen.valid.long()
        kept.scatter_(1, chosen.slots, valid)
        return kept.gather(1, self.owner).view(-1, *self.grid).bool()
