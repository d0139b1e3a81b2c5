"""Token pruning: tokens whose class is certain stop being worked on.

Paper: DToP (ICCV 2023), section 3.2, and the hybrid's section 1.3.2. The original loops over
images and classes, gathers and scatters in every block, and makes the host wait 727 times an
image. Here each exit compacts the tokens once, in one of three ways that share one set of
weights:

- `mask`: all rows stay, exited ones are frozen and masked out (training; any threshold, any batch);
- `dynamic`: rows above the threshold leave (parity with the paper; shapes depend on the image);
- `static`: a fixed number of rows stays (deployment: static shapes, no host synchronisation).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Between, Count, Positive, shown
from segsuite.core.idle import counts, counts_nothing
from segsuite.core.sizes import Size
from segsuite.methods.segvit.exits import ExitScorer, ExitScores
from segsuite.ops.tokens import first_of_class, gather_tokens, scatter_tokens, untied_keys

Mode = Literal["mask", "dynamic", "static"]


@dataclass(frozen=True)
class Alive:
    """The tokens between two exits.

    Attributes:
        tokens: features (B, n, C) of the tokens.
        slots: the slot (B, n) int64 of each row, without repeats.
        valid: rows that are worked on, (B, n) bool; the others keep their features. None: all.
        memory: the features (B, n0, C) of every slot when it was last compacted; None before.
        context: exited tokens (B, m, C) that stay keys and values; None when they are dropped.
        key_mask: what attention may look at, (B, n + m) bool; None: everything.
    """

    tokens: Tensor
    slots: Tensor
    valid: Tensor | None = None
    memory: Tensor | None = None
    context: Tensor | None = None
    key_mask: Tensor | None = None

    def through(self, block: nn.Module) -> "Alive":
        """These tokens after one transformer block; rows that are not valid stay as they were."""
        tokens = block(self.tokens, context=self.context, key_mask=self.key_mask)
        if self.valid is not None:
            tokens = torch.where(self.valid.unsqueeze(-1), tokens, self.tokens)
        return replace(self, tokens=tokens)

    def features(self) -> Tensor:
        """(B, n0, C): every slot's newest features, in slot order."""
        if self.memory is None:
            return self.tokens  # never compacted: rows are slots
        return scatter_tokens(self.memory, self.slots, self.tokens)


def start(tokens: Tensor) -> Alive:
    """All tokens alive; row i is slot i.

    Shapes: tokens (B, n0, C)
    """
    slots = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[0], -1)
    return Alive(tokens=tokens, slots=slots)


def stays(scores: ExitScores, theta: float, keep_per_class: int) -> Tensor:
    """The keep rule: (B, n) bool, False for tokens that are done.

    A token leaves when its confidence is above `theta`, strictly, unless it is among the
    `keep_per_class` most confident of its class: those stay to speak for the class.
    """
    spokesmen = first_of_class(scores.confidence, scores.label, keep_per_class)
    return (scores.confidence <= theta) | spokesmen


def priority(scores: ExitScores, keep_per_class: int) -> Tensor:
    """Which tokens to keep first under a budget: spokesmen of their class, then the least certain.

    With a budget of exactly the tokens that `stays` keeps, the same tokens are kept. Keys do not
    tie: of equally certain tokens the earlier stays.

    Shapes: -> (B, n) int64
    """
    spokesmen = first_of_class(scores.confidence, scores.label, keep_per_class)
    return untied_keys(spokesmen.to(scores.confidence.dtype) * 2 - scores.confidence)


@counts_nothing
def no_pruning(**_: object) -> None:
    """None, whatever the settings: `method/pruning=none` works on top of any experiment."""


@counts(
    budgets={"mode": ("static",)},
    theta={"mode": ("mask", "dynamic")},
    elastic={"mode": ("static",)},
)
class TokenPruning(nn.Module):
    """Where tokens may leave, and which do.

    Args:
        after: numbers of blocks that exits stand after, ascending; the paper's are [6, 8]. Below 1,
            shares of the depth: 0.5 is after 6 of 12 blocks.
        scorer: makes an exit's scorer from `in_dim` and `num_classes`.
        mode: how rows leave in evaluation; training uses `mask` for both threshold modes.
        theta: confidence above which a token is done (DToP: 0.9 for ViT-B on ADE20K).
        budgets: for `static`, how many tokens stay after each exit: counts at `image_size`, or
            shares of the patches when below 1 (0.5 of 1,024 patches is 512). At other sizes counts
            grow with the number of patches.
        keep_per_class: how many of the most confident tokens of a class never leave.
        context: whether exited tokens leave attention (`drop`, the paper's), or stay as keys and
            values (`kv`).
        elastic: for `static`, the least and the most that `budgets` are multiplied by in training,
            drawn anew at each step; about half of the steps, at random, train the budgets
            themselves. One checkpoint then serves any budget between.

    Raises:
        ConfigError: positions or budgets that do not fit.
    """

    def __init__(
        self,
        *,
        after: Sequence[int | float],
        scorer: Callable[..., ExitScorer],
        in_dim: Count,
        num_classes: Count,
        depth: Count,
        image_size: Size,
        patch: Count = 16,
        mode: Mode = "dynamic",
        theta: Annotated[float, Between(0, 1)] = 0.9,
        budgets: Sequence[int | float] | None = None,
        keep_per_class: Annotated[int, Between(1)] = 5,
        context: Literal["drop", "kv"] = "drop",
        elastic: Sequence[Positive] | None = None,
    ) -> None:
        super().__init__()
        after = positions(after, depth)
        check_positions(after, depth)
        self.patches = (image_size[0] // patch) * (image_size[1] // patch)
        check_budgets(budgets, after, mode, self.patches)
        self.after, self.mode, self.theta = tuple(after), mode, theta
        self.budgets = tuple(budgets or ())
        self.keep_per_class, self.context = keep_per_class, context
        self.elastic = None if elastic is None else checked_range(elastic)
        self.scorers = nn.ModuleList(
            scorer(in_dim=in_dim, num_classes=num_classes) for _ in self.after
        )
        self.carries = all(s.carries for s in self.scorers)

    def budget(self, exit_index: int, alive: int, patches: int, factor: float = 1.0) -> int:
        """Tokens that stay after an exit, in an image of that many patches; see `draw`."""
        budget = self.budgets[exit_index]
        whole = budget * patches if isinstance(budget, float) else budget * patches / self.patches
        return min(max(round(whole * factor), 1), alive)

    def draw(self) -> float:
        """What budgets are multiplied by: 1 in evaluation, and in about half of the steps.

        By torch's own generator of the CPU, which goes on where a resumed run left it.
        """
        if self.elastic is None or not self.training or self.mode != "static":
            return 1.0
        chance, place = torch.rand(2).tolist()
        low, high = self.elastic
        return low + (high - low) * place if chance >= 0.5 else 1.0

    def compact(
        self, alive: Alive, scores: ExitScores, exit_index: int, patches: int, factor: float = 1.0
    ) -> Alive:
        """The tokens that go on after an exit.

        Args:
            patches: how many the image has.
            factor: what budgets are multiplied by, see `draw`.
        """
        if alive.valid is not None:  # rows that left earlier speak for no class
            seen = scores.confidence.where(alive.valid, scores.confidence.new_full((), -1.0))
            scores = replace(scores, confidence=seen)
        if self.mode == "static":
            kept = self.budget(exit_index, alive.tokens.shape[1], patches, factor)
            if kept == alive.tokens.shape[1]:
                return alive
            return self._gather(alive, priority(scores, self.keep_per_class).topk(kept).indices)
        stay = stays(scores, self.theta, self.keep_per_class)
        if alive.valid is not None:
            stay = stay & alive.valid
        if self.training or self.mode == "mask":
            return replace(alive, valid=stay, key_mask=stay if self.context == "drop" else None)
        kept = int(stay.sum(1).max())  # makes the host wait, by nature of this mode
        first = stay.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :kept]
        # Images that keep fewer tokens than the fullest of the batch are padded with exited rows.
        valid = stay.gather(1, first) if stay.shape[0] > 1 else None
        return self._gather(alive, first, valid)

    def _gather(self, alive: Alive, first: Tensor, valid: Tensor | None = None) -> Alive:
        """Moves the rows `first` (B, kept) together; the rest waits in memory."""
        memory, slots = alive.features(), alive.slots.gather(1, first)
        context = None
        if self.context == "kv":
            # Every slot that is not among the rows, by topk: its shape is known beforehand.
            gone = torch.ones(memory.shape[:2], device=memory.device).scatter(1, slots, 0.0)
            rest = gone.topk(memory.shape[1] - first.shape[1], dim=1).indices
            context = gather_tokens(memory, rest)
        return Alive(
            tokens=gather_tokens(alive.tokens, first),
            slots=slots,
            valid=valid,
            memory=memory,
            context=context,
            key_mask=valid if self.context == "drop" else None,
        )


def checked_range(elastic: Sequence[float]) -> tuple[float, float]:
    """Raises ConfigError unless these are the least and the most."""
    if len(elastic) != 2 or elastic[0] > elastic[1]:
        raise ConfigError(
            f"method.pruning.elastic={list(elastic)} is no range; type the least and the most that "
            "budgets are multiplied by, such as method.pruning.elastic=[0.5,1.5]"
        )
    return (elastic[0], elastic[1])


def positions(after: Sequence[int | float], depth: int) -> tuple[int | float, ...]:
    """The blocks done before each exit, shares of the depth among them as whole blocks."""
    return tuple(round(p * depth) if 0 < p < 1 else p for p in after)


def check_positions(after: Sequence[int | float], depth: int) -> None:
    """Raises ConfigError unless exits ascend and stand before the last block."""
    shown = f"method.pruning.after={list(after)}"
    if not after:
        raise ConfigError(f"{shown} names no exit; type method/pruning=none for no pruning")
    if any(not 1 <= position < depth or position % 1 for position in after):
        raise ConfigError(
            f"{shown} is out of range: this backbone has {depth} blocks, so exits stand after "
            f"block 1 to {depth - 1}"
        )
    if list(after) != sorted(set(after)):
        raise ConfigError(
            f"{shown} is out of order; type method.pruning.after={sorted(set(after))}"
        )


def check_budgets(
    budgets: Sequence[int | float] | None, after: Sequence[int], mode: Mode, patches: int
) -> None:
    """Raises ConfigError unless a static run has one shrinking budget per exit.

    In other modes budgets wait for `static`, and what could not be right there is refused too.

    Args:
        patches: number of patches of an image of the size that counts refer to.
    """
    if budgets is None and mode != "static":
        return
    if budgets is None or (len(budgets) != len(after) and mode == "static"):
        example = [round(0.5 * 0.75**exit_index, 3) for exit_index in range(len(after))]
        raise ConfigError(
            f"method.pruning.mode=static needs one budget for each exit in method.pruning.after="
            f"{list(after)}, but method.pruning.budgets={shown(budgets)}; for example "
            f"{example}"
        )
    if any(not 0 < b <= (1 if isinstance(b, float) else patches) for b in budgets):
        raise ConfigError(
            f"method.pruning.budgets={list(budgets)}: each must be a share of the patches above 0 "
            f"and at most 1.0, such as 0.5, or a whole number of tokens from 1 to the {patches} "
            "patches of data.crop_size"
        )
    if len({isinstance(b, float) for b in budgets}) > 1:
        raise ConfigError(
            f"method.pruning.budgets={list(budgets)} mixes counts of tokens with shares of the "
            "patches; give all as counts, such as [512,384], or all as shares, such as [0.5,0.375]"
        )
    if list(budgets) != sorted(budgets, reverse=True):
        raise ConfigError(
            f"method.pruning.budgets={list(budgets)} grows from exit to exit, but tokens that left "
            "do not come back; give them in falling order"
        )
