"""Content-aware token sharing: 2x2 patches of one class enter the ViT as one token.

Paper: "Content-aware Token Sharing" (CVPR 2023), section 3, and the hybrid's section 1.3.1. The
original loops over images and indexes pixels by boolean masks; here one `topk` and one gather do
it for the whole batch, in shapes that depend on the image size alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.arguments import with_arguments_of
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count
from segsuite.core.idle import counts, counts_nothing
from segsuite.core.sizes import Size
from segsuite.methods.segvit.policy import PolicyNetwork, window_labels
from segsuite.ops.patches import patchify
from segsuite.ops.tokens import gather_tokens

WindowScores = tuple[Tensor, Tensor | None]
"""Scores (B, N/4) of the windows, and logits (B, 2, h, w) where a policy is to be trained."""

_FAR = 2.0**23  # behind every patch number; sums stay exact in float32


@dataclass(frozen=True)
class SharedTokens:
    """Which patches stay alone and which windows share a token.

    Slots are numbered singles first, then windows, each in raster order.

    Attributes:
        single: the patch of each slot that holds one, (B, N - 4 * S) int64.
        window: the window of each slot that holds four, (B, S) int64.
        owner: the slot of each patch, (B, N) int64.
    """

    single: Tensor
    window: Tensor
    owner: Tensor


def window_of_patch(grid: Size, device: torch.device | None = None) -> Tensor:
    """(N,) int64: the 2x2 window that each patch of the grid lies in, both in raster order."""
    row = torch.arange(grid[0], device=device).unsqueeze(1) // 2
    column = torch.arange(grid[1], device=device).unsqueeze(0) // 2
    return (row * (grid[1] // 2) + column).flatten()


def share(scores: Tensor, windows: int, grid: Size) -> SharedTokens:
    """Lets the `windows` best windows of each image share a token: N - 3 * windows tokens remain.

    Shapes: scores (B, N/4), higher is more uniform
    """
    patches = grid[0] * grid[1]
    of_patch = window_of_patch(grid, scores.device)
    window = scores.float().topk(windows, dim=1).indices.sort(dim=1).values
    shared = torch.zeros_like(scores, dtype=torch.bool).scatter(1, window, True)
    inside = shared[:, of_patch]
    # The patches outside in raster order, by topk, whose shape is known beforehand.
    place = torch.arange(patches, device=scores.device, dtype=torch.float32)
    key = torch.where(inside, place + _FAR, place)
    single = key.topk(patches - 4 * windows, dim=1, largest=False, sorted=True).indices
    alone = (~inside).long().cumsum(1) - 1
    together = single.shape[1] + shared.long().cumsum(1) - 1
    owner = torch.where(inside, together[:, of_patch], alone)
    return SharedTokens(single=single, window=window, owner=owner)


def shared_pixels(images: Tensor, shared: SharedTokens, patch: int) -> Tensor:
    """The pixels of each slot: a patch, or a window at half size, in the same number of pixels.

    Halving is 2x2 averaging, which bilinear x0.5 (align_corners=False) equals exactly.

    Shapes: images (B, 3, H, W) -> (B, n0, 3 * patch * patch)
    """
    singles = gather_tokens(patchify(images, patch), shared.single)
    windows = gather_tokens(patchify(F.avg_pool2d(images, 2), patch), shared.window)
    return torch.cat([singles, windows], dim=1)


def shared_positions(position: Tensor, shared: SharedTokens, grid: Size) -> Tensor:
    """The position embedding of each slot; a window's is the mean of its four patches'.

    Shapes: position (1, N, C) -> (B, n0, C)
    """
    maps = position.transpose(1, 2).unflatten(2, grid)
    halved = F.avg_pool2d(maps, 2).flatten(2).transpose(1, 2)
    return torch.cat([position[0][shared.single], halved[0][shared.window]], dim=1)


@counts_nothing
def no_sharing(**_: object) -> None:
    """None, whatever the settings: `method/sharing=none` works on top of any experiment."""


class TokenSharing(nn.Module, ABC):
    """Chooses the windows that share a token.

    Args:
        windows: how many windows share a token at `image_size`; or, below 1, the share of tokens to
            save: 0.3 saves 30 % (103 windows at 512x512), by S = ceil(share * N / 3). At other
            sizes a count grows with the number of patches.
        image_size: the size that `windows` refers to, in pixels.

    Raises:
        ConfigError: more windows than the grid has, or a grid with an odd side.
    """

    def __init__(self, *, windows: int | float, image_size: Size, patch: Count = 16) -> None:
        super().__init__()
        self.windows, self.patch = windows, patch
        self.patches = (image_size[0] // patch) * (image_size[1] // patch)
        if any(side % (2 * patch) for side in image_size):
            raise ConfigError(
                f"token sharing needs sides that are multiples of {2 * patch}, but data.crop_size "
                f"is {list(image_size)}; set data.crop_size="
                f"{[max(round(side / (2 * patch)), 1) * 2 * patch for side in image_size]}"
            )
        most = 0.75 if isinstance(windows, float) and windows % 1 else self.patches // 4
        if not 0 <= windows <= most:
            raise ConfigError(
                f"method.sharing.windows={windows} does not fit: images of {image_size[0]}x"
                f"{image_size[1]} have {self.patches // 4} windows of 2x2 patches; set "
                f"method.sharing.windows to at most {self.patches // 4}, or to a share up to 0.75"
            )

    def count(self, patches: int) -> int:
        """Windows that share a token in an image of that many patches."""
        if isinstance(self.windows, float) and 0 < self.windows < 1:
            return math.ceil(self.windows * patches / 3)
        return min(round(self.windows * patches / self.patches), patches // 4)

    @abstractmethod
    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        """How uniform each window is.

        Args:
            images: images (B, 3 or 4, H, W) in 0..255.
            embed: makes the embedding (B, N, C) of all patches, without positions.
        """

    def load_initial_weights(self) -> None:
        """Loads what the config names; nothing for sharing without weights."""


@counts(**{"network.weights": {"policy": ("joint",)}})
class ContentAwareSharing(TokenSharing):
    """CTS: a small convolutional policy network scores the windows (paper, equation 1.3).

    Args:
        policy: "joint" trains the policy with the network, in one run; otherwise the checkpoint of
            a trained policy (`experiment=cts_policy_*`, or the original `model.pth`), kept frozen.
    """

    @with_arguments_of(TokenSharing)
    def __init__(self, *, network: PolicyNetwork, policy: str = "joint", **common: Any) -> None:
        super().__init__(**common)
        self.policy_source = policy
        self.joint = policy == "joint"
        self.policy = network.requires_grad_(self.joint)
        self.train()  # Lightning does not: it trains modules in the mode that they are in

    @property
    def keeps_initial_weights(self) -> bool:
        """A policy that was trained and named is not replaced by that of `init_from`."""
        return not self.joint

    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        """The policy's log-odds that a window holds one class; its logits only when trained."""
        logits = self.policy(images[:, :3])
        scores = (logits[:, 1].float() - logits[:, 0].float()).flatten(1).detach()
        return scores, logits if self.joint else None

    def train(self, mode: bool = True) -> "ContentAwareSharing":
        """A frozen policy stays in evaluation mode (the original lets its batch norms drift)."""
        super().train(mode)
        if not self.joint:
            self.policy.eval()
        return self

    def load_initial_weights(self) -> None:
        if self.joint:
            self.policy.load_initial_weights(key="method.sharing.network.weights")
        else:
            self.policy.load_policy(self.policy_source)


class RandomSharing(TokenSharing):
    """Windows drawn at random: the lower bound. Anew at each training step, fixed in evaluation."""

    @with_arguments_of(TokenSharing)
    def __init__(self, *, seed: int = 0, **common: Any) -> None:
        super().__init__(**common)
        self.seed = seed

    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        count = images.shape[-2] * images.shape[-1] // (2 * self.patch) ** 2
        kind = {"device": images.device}  # drawn there: a copy would make the host wait
        generator = None if self.training else torch.Generator(**kind).manual_seed(self.seed)
        return torch.rand((images.shape[0], count), generator=generator, **kind), None


class OracleSharing(TokenSharing):
    """Windows that truly hold one class: the upper bound.

    The labels come as a fourth image channel, so that every crop, flip and window of an evaluation
    carries them along.
    """

    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        if images.shape[1] != 4:
            raise ConfigError(
                "method/sharing=oracle reads the truth, so it can only be trained and evaluated on "
                "labelled data; choose method/sharing=cts to predict"
            )
        uniform = window_labels(images[:, 3].long(), window=2 * self.patch)
        return uniform.flatten(1).float(), None


class CosineSharing(TokenSharing):
    """Windows whose four patch embeddings are alike: no policy and no training.

    ALGM (CVPR 2024) compares tokens after the first block; here they are compared before it, so
    that every block sees fewer tokens.
    """

    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        tokens = F.normalize(embed().float(), dim=-1)
        grid = (images.shape[-2] // self.patch, images.shape[-1] // self.patch)
        maps = tokens.transpose(1, 2).unflatten(2, grid)
        # |mean of four unit vectors|^2 = (4 + 2 * sum of the six cosines) / 16: in the same order
        # as the mean cosine
        return F.avg_pool2d(maps, 2).square().sum(1).flatten(1).detach(), None
