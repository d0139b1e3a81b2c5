"""SegViT with token sharing and token pruning: image -> tokens -> blocks and exits -> classes.

Papers: SegViT (NeurIPS 2022), CTS (CVPR 2023), DToP (ICCV 2023) and their hybrid, figure 1.1. One
network covers the dense model and every reduction of it:

    share:    N patches become n0 slots; windows of 2x2 and 4x4 take one each         (slots.py)
    blocks:   each exit lets certain tokens leave                             (token_pruning.py)
    head:     per-class masks over the slots                                  (attention_to_mask.py)
    unshare:  each patch takes the answer of its slot
    refine:   and what small convolutions see in it changes that, last of all  (refinement.py)
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Above, Count, Positive
from segsuite.core.sizes import Size
from segsuite.methods.segvit.exits import ExitScores, LinearExit
from segsuite.methods.segvit.head import AtmOutput, Head
from segsuite.methods.segvit.refinement import PatchRefinement
from segsuite.methods.segvit.slots import Windows, share, slot_pixels, slot_positions
from segsuite.methods.segvit.token_pruning import Alive, TokenPruning, start
from segsuite.methods.segvit.token_sharing import TokenSharing
from segsuite.nn.backbones.vit import VisionTransformer
from segsuite.nn.normalize import Normalize
from segsuite.nn.segmenter import Prediction, Segmenter
from segsuite.nn.token_trace import TokenStage, TokenTrace
from segsuite.ops.patches import patchify
from segsuite.ops.tokens import scatter_tokens

log = logging.getLogger(__name__)

_NO_ZERO = 1e-6
"""Added to scores before their logarithm is taken."""


@dataclass(frozen=True)
class ExitLogits:
    """What a linear exit said, on the patch grid: logits (B, N, K), which patches it saw (B, N)."""

    logits: Tensor
    seen: Tensor


@dataclass(frozen=True)
class SegVitOutput:
    """What the losses need.

    Attributes:
        heads: one output per supervised head, masks (B, K, rows, columns); the final one last.
        exits: one output per linear exit.
        policy: logits (B, 2, rows / 2, columns / 2) of the policy where it trains along.
        trace: which tokens were kept.
    """

    heads: tuple[AtmOutput, ...]
    exits: tuple[ExitLogits, ...]
    policy: Tensor | None
    trace: TokenTrace


@dataclass(frozen=True)
class _Encoded:
    """Everything the blocks leave behind, in slot space, and the normalised images."""

    alive: Alive
    taps: tuple[Tensor, ...]
    exits: tuple[tuple[Alive, ExitScores], ...]
    policy: Tensor | None
    trace: TokenTrace
    pixels: Tensor


class SegVit(Segmenter):
    """A plain ViT with an attention-to-mask head.

    Args:
        backbone: a ViT of some depth and width.
        head: such as `AtmSingle` (one head, DToP's) or `AtmCascade` (SegViT v1's three stages).
        sharing: lets windows of patches share tokens; None for the dense grid.
        pruning: lets certain tokens leave early; None for all tokens in all blocks.
        refinement: lets each patch change the answer of its token; None for the same answer of all
            that share it.
        auxiliary: a linear layer on the final tokens, in training only. Masks alone teach random
            weights slowly; the paper begins with ImageNet weights and needs none.
        taps: the cascade reads the features after these blocks (0-based, shallow to deep); a head
            of one stage reads the last alone. None for SegViT's, see `default_taps`.
        mean, std: mean and standard deviation of the pixels, in 0..255; 127.5 for AugReg weights.
        input_scale: what images are made smaller to first, of their sides: 0.7 is the plainest way
            to fewer tokens, which any other is to beat.

    Raises:
        ConfigError: parts that do not fit together.
    """

    excluded_from_cost: ClassVar[tuple[str, ...]] = ("sharing.policy",)
    training_only: ClassVar[tuple[str, ...]] = ("auxiliary",)

    def __init__(
        self,
        *,
        backbone: VisionTransformer,
        head: Head,
        num_classes: Count,
        sharing: TokenSharing | None = None,
        pruning: TokenPruning | None = None,
        refinement: PatchRefinement | None = None,
        auxiliary: LinearExit | None = None,
        taps: Sequence[int] | None = None,
        mean: Sequence[float] = (127.5, 127.5, 127.5),
        std: Sequence[Positive] = (127.5, 127.5, 127.5),
        input_scale: Annotated[float, Above(0, 1)] = 1.0,
    ) -> None:
        super().__init__()
        depth = len(backbone.blocks)
        self.num_classes = num_classes
        self.size_divisor = backbone.patch if sharing is None else sharing.size_divisor
        self.pad_value = tuple(mean)
        self.normalize = Normalize(mean=tuple(mean), std=tuple(std))
        self.backbone, self.head, self.sharing, self.pruning = backbone, head, sharing, pruning
        self.refinement, self.auxiliary = refinement, auxiliary
        self.input_scale = input_scale
        self.taps = tuple(taps or default_taps(depth))
        if any(not 0 <= tap < depth for tap in self.taps) or self.taps[-1] != depth - 1:
            raise ConfigError(
                f"method.network.taps={list(self.taps)} must lie in 0..{depth - 1} and end with "
                f"{depth - 1}, the last of the backbone's {depth} blocks"
            )
        if head.reads_taps and pruning is not None and not pruning.carries:
            raise ConfigError(
                f"{type(head).__name__} reads features of several blocks, but "
                "method/pruning/scorer=atm gives exited tokens masks instead; type "
                "method/pruning/scorer=linear or method/head=atm_single"
            )

        self._say_idle_budgets()

    def _say_idle_budgets(self) -> None:
        """Warns of fixed budgets that no token ever leaves by, since no more are left by then."""
        if self.pruning is None or self.pruning.mode != "static":
            return
        patches = self.pruning.patches
        alive = patches if self.sharing is None else self.sharing.counts(patches).tokens(patches)
        for index, budget in enumerate(self.pruning.budgets):
            kept = self.pruning.budget(index, alive, patches)
            if kept == alive:
                log.warning(
                    "method.pruning.budgets=%s: %s, after block %d, keeps all in images of "
                    "data.crop_size, since %d of their %d patches are left by then; below %.4g "
                    "tokens leave",
                    *(list(self.pruning.budgets), budget, self.pruning.after[index]),
                    *(alive, patches, alive / patches if isinstance(budget, float) else alive),
                )
            alive = kept

    # --- the contract -------------------------------------------------------------------------

    def forward(self, images: Tensor) -> SegVitOutput:
        """Masks and classes of every supervised head, on the patch grid.

        Shapes: images (B, 3, H, W) in 0..255; a fourth channel holds labels for oracle sharing
        """
        self.check_size(images)
        encoded = self._encode(images)
        return SegVitOutput(
            heads=tuple(self._on_grid(self._heads(encoded), encoded)),
            exits=tuple(self._exit_logits(encoded)),
            policy=encoded.policy,
            trace=encoded.trace,
        )

    def predict(self, images: Tensor) -> Prediction:
        """Scores per patch, and which tokens were kept."""
        self.check_size(images)
        encoded = self._encode(images)
        (final,) = self._on_grid(self._heads(encoded)[-1:], encoded)
        return self.head.prediction(final, encoded.trace)

    def log_probabilities(self, output: SegVitOutput, size: Size) -> Tensor:
        """(B, K, *size): each class's share of all scores of a pixel, of the last head."""
        prediction = self.head.prediction(output.heads[-1], output.trace)
        scores = prediction.scores(size).float() + _NO_ZERO
        return scores.log() - scores.sum(1, keepdim=True).log()

    def taught_log_probabilities(self, output: SegVitOutput, size: Size) -> Tensor:
        """(B, K, *size): the auxiliary layer's, which is there in training, where there is one.

        Masks are judged each by itself; divided by their sum, as `log_probabilities` must, a
        teacher pulls at all of them at once, and they learn more slowly than without it.
        """
        if self.auxiliary is None or not self.training:
            return self.log_probabilities(output, size)
        logits = output.exits[-1].logits.float().transpose(1, 2).unflatten(2, output.trace.grid)
        return F.interpolate(logits, size=size, mode="bilinear").log_softmax(1)

    def load_initial_weights(self) -> None:
        """Loads the backbone's and the policy's pretrained weights, as their configs name them."""
        self.backbone.load_initial_weights()
        if self.sharing is not None:
            self.sharing.load_initial_weights()

    # --- image to tokens ----------------------------------------------------------------------

    def check_static(self) -> None:
        """Raises ConfigError where a threshold decides how many tokens stay."""
        if self.pruning is not None and self.pruning.mode == "dynamic":
            exits = range(len(self.pruning.after))
            budgets = ",".join(f"{0.5 * 0.75**index:.3g}" for index in exits)
            raise ConfigError(
                "method.pruning.mode=dynamic: how many tokens stay depends on the "
                "image, which no exported file follows; type method.pruning.mode=static "
                f"method.pruning.budgets=[{budgets}], shares of the patches that stay"
            )

    def _scaled(self, images: Tensor) -> Tensor:
        """The images at `input_scale`, their sides multiples of what the network takes."""
        if self.input_scale == 1:
            return images
        sides, divisor = images.shape[-2:], self.size_divisor
        size = tuple(max(round(self.input_scale * s / divisor), 1) * divisor for s in sides)
        kind = {"size": size, "mode": "bilinear", "antialias": True}
        colours = F.interpolate(images[:, :3].float(), **kind)
        if images.shape[1] == 3:
            return colours
        labels = F.interpolate(images[:, 3:].float(), size=size, mode="nearest-exact")
        return torch.cat([colours, labels], 1)

    def _tokenise(self, images: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Tokens (B, n0, C), the slot of each patch (B, N), the policy's logits if it trains.

        Args:
            pixels: the images normalised.
        """
        grid = self._grid(images)
        position = self.backbone.position(grid)
        patches = grid[0] * grid[1]
        windows = Windows(0) if self.sharing is None else self.sharing.counts(patches)
        if windows == Windows(0):
            embedded = self.backbone.embed_patches(patchify(pixels, self.backbone.patch))
            policy = None
            if self.training and self.sharing is not None:  # a policy that trains along still does
                policy = self.sharing.window_scores(images, lambda: embedded).logits
            owner = torch.arange(patches, device=images.device).expand(images.shape[0], -1)
            return embedded + position, owner, policy
        scores = self.sharing.window_scores(
            images, lambda: self.backbone.embed_patches(patchify(pixels, self.backbone.patch))
        )
        slots = share(scores.small, windows, grid, scores.large)
        # Pixels are gathered first, so that only what became a token is embedded.
        rows = slot_pixels(pixels, slots, self.backbone.patch)
        where = slot_positions(position, slots, grid)
        return self.backbone.embed_patches(rows) + where, slots.owner, scores.logits

    def _grid(self, images: Tensor) -> Size:
        return images.shape[-2] // self.backbone.patch, images.shape[-1] // self.backbone.patch

    # --- blocks and exits ---------------------------------------------------------------------

    def _encode(self, images: Tensor) -> _Encoded:
        size = None if self.input_scale == 1 else (images.shape[-2], images.shape[-1])
        images = self._scaled(images)
        pixels = self.normalize(images[:, :3])
        tokens, owner, policy = self._tokenise(images, pixels)
        alive, grid = start(tokens), self._grid(images)
        stages, taps, exits = [TokenStage(after=0, slots=alive.slots)], [], []
        wanted = self.taps if self.head.reads_taps else ()
        factor = 1.0 if self.pruning is None else self.pruning.draw()
        for done, block in enumerate(self.backbone.blocks, start=1):
            alive = alive.through(block)
            if done - 1 in wanted:
                taps.append(alive.features())
            if self.pruning is not None and done in self.pruning.after:
                index = self.pruning.after.index(done)
                scores = self.pruning.scorers[index](alive.tokens, alive.valid)
                exits.append((alive, scores))
                alive = self.pruning.compact(alive, scores, index, grid[0] * grid[1], factor)
                stages.append(TokenStage(after=done, slots=alive.slots, valid=alive.valid))
        where = {"grid": grid, "patch": self.backbone.patch, "image": size}
        trace = TokenTrace(**where, owner=owner, stages=tuple(stages))
        return _Encoded(alive, tuple(taps), tuple(exits), policy, trace, pixels)

    # --- heads --------------------------------------------------------------------------------

    def _heads(self, encoded: _Encoded) -> list[AtmOutput]:
        """Outputs over all slots, (B, K, n0): the exits' where they answer, the final one last."""
        if self.head.reads_taps:
            return self.head(encoded.taps)
        if self.pruning is None or self.pruning.carries:
            return [self.head(encoded.alive.features())]
        outputs: list[AtmOutput] = []
        last = (encoded.alive, self.head(encoded.alive.tokens, encoded.alive.valid))
        seen = [(alive, scores.atm) for alive, scores in encoded.exits]
        for alive, output in (*seen, last):
            canvas = outputs[-1].masks if outputs else None
            outputs.append(AtmOutput(_paint(canvas, alive, output.masks), output.classes))
        return outputs

    def _on_grid(self, outputs: Sequence[AtmOutput], encoded: _Encoded) -> list[AtmOutput]:
        """Unsharing: each patch takes its slot's logits, (B, K, n0) -> (B, K, rows, columns).

        The last of the outputs, which is the answer, is refined.
        """
        trace, placed = encoded.trace, []
        for output in outputs:
            masks = output.masks
            if self.sharing is not None:
                masks = masks.gather(2, trace.owner.unsqueeze(1).expand(-1, masks.shape[1], -1))
            if self.refinement is not None and output is outputs[-1]:
                where = (trace.owner, encoded.pixels, trace.grid)
                masks = masks + self.refinement(encoded.alive.features(), *where)
            placed.append(AtmOutput(masks.unflatten(2, trace.grid), output.classes))
        return placed

    def _judged(self, encoded: _Encoded) -> list[tuple[Alive, ExitScores]]:
        """What linear layers said of tokens: the exits', and the auxiliary one's of all slots."""
        judged = [(alive, scores) for alive, scores in encoded.exits if scores.logits is not None]
        if self.auxiliary is not None and self.training:
            features = encoded.alive.features()
            judged.append((start(features), self.auxiliary(features)))
        return judged

    def _exit_logits(self, encoded: _Encoded) -> Iterator[ExitLogits]:
        """The judgements on the patch grid."""
        owner, slots = encoded.trace.owner, encoded.trace.stages[0].slots.shape
        for alive, scores in self._judged(encoded):
            valid = torch.ones_like(alive.slots, dtype=torch.bool)
            valid = valid if alive.valid is None else alive.valid
            seen = valid.new_zeros(slots).scatter(1, alive.slots, valid)
            canvas = scores.logits.new_zeros(*slots, scores.logits.shape[-1])
            canvas = scatter_tokens(canvas, alive.slots, scores.logits)
            rows = owner.unsqueeze(-1).expand(-1, -1, canvas.shape[-1])
            yield ExitLogits(canvas.gather(1, rows), seen.gather(1, owner))


def default_taps(depth: int) -> tuple[int, int, int]:
    """SegViT's: outputs of blocks 6, 8 and 12 of 12, but 8, 16 and 24 of 24."""
    first = depth // 3 if depth >= 24 else depth // 2
    return first - 1, 2 * depth // 3 - 1, depth - 1


def _paint(canvas: Tensor | None, alive: Alive, masks: Tensor) -> Tensor:
    """The canvas of mask logits with the rows that a head saw painted over.

    Shapes: canvas (B, K, n0) or None for the first head, masks (B, K, n) -> (B, K, n0)
    """
    if canvas is None:
        return masks
    slots = alive.slots.unsqueeze(1).expand_as(masks)
    if alive.valid is not None:
        masks = masks.where(alive.valid.unsqueeze(1), canvas.gather(2, slots))
    return canvas.scatter(2, slots, masks.to(canvas.dtype))
