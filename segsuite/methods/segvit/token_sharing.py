"""Content-aware token sharing: windows of one class enter the ViT as one token; which do?

Paper: "Content-aware Token Sharing" (CVPR 2023), section 3, and the hybrid's section 1.3.1. The
original loops over images and indexes pixels by boolean masks; see slots.py for what is done here.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.arguments import with_arguments_of
from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count
from segsuite.core.idle import counts, counts_nothing
from segsuite.core.sizes import Size, nearest
from segsuite.methods.segvit.policy import PolicyNetwork, window_labels
from segsuite.methods.segvit.slots import Windows


class WindowScores(NamedTuple):
    """How uniform windows are: higher is more uniform.

    Attributes:
        small: scores (B, N/4) of the windows of 2x2 patches.
        large: scores (B, N/16) of those of 4x4; None for the least of their four windows of 2x2.
        logits: logits (B, 2, h, w) of the windows of 2x2 where a policy is to be trained.
    """

    small: Tensor
    large: Tensor | None = None
    logits: Tensor | None = None


@counts_nothing
def no_sharing(**_: object) -> None:
    """None, whatever the settings: `method/sharing=none` works on top of any experiment."""


@counts(windows={"tokens": (None,)})
class TokenSharing(nn.Module, ABC):
    """Chooses the windows that share a token.

    Args:
        windows: how many windows of 2x2 patches share a token at `image_size`; or, below 1, the
            share of tokens to save by them: 0.3 saves 30 % (103 windows at 512x512), by S = ceil(
            share * N / 3). At other sizes a count grows with the number of patches.
        image_size: the size that counts refer to, in pixels.
        large_windows: likewise for windows of 4x4 patches, which are chosen first; a share s is
            ceil(s * N / 15) windows.
        tokens: how many tokens remain at `image_size`, in place of `windows`.

    Raises:
        ConfigError: more windows than the grid has, a number of tokens that no number of windows
            leaves, or a grid that windows do not fill.
    """

    def __init__(
        self,
        *,
        windows: int | float,
        image_size: Size,
        patch: Count = 16,
        large_windows: int | float = 0,
        tokens: Count | None = None,
    ) -> None:
        super().__init__()
        self.patch, self.image_size, self.tokens = patch, tuple(image_size), tokens
        self.patches = (image_size[0] // patch) * (image_size[1] // patch)
        if tokens is not None:
            check_count("large_windows", large_windows, self.image_size, self.patches, side=4)
            large = _count(large_windows, self.patches, self.patches, side=4)
            windows = windows_for(tokens, self.patches, large)
        self.choose(windows, large_windows)

    def choose(self, windows: int | float, large_windows: int | float = 0) -> None:
        """Sets how many windows share, checked as the constructor's arguments are."""
        self.windows, self.large_windows = windows, large_windows
        check_grid(self.image_size, self.size_divisor)
        check_count("large_windows", large_windows, self.image_size, self.patches, side=4)
        check_count("windows", windows, self.image_size, self.patches, side=2)
        # Before shares are rounded up, which may be too many in small images, and is clamped.
        small = _exact(windows, self.patches, self.patches, side=2)
        beside = 4 * _exact(large_windows, self.patches, self.patches, side=4)
        if small > self.patches / 4 - beside:
            most = int(self.patches / 4 - beside)
            raise ConfigError(
                f"method.sharing.windows={windows} are {small:g} windows of 2x2 patches, beside "
                f"method.sharing.large_windows={large_windows} there are {most}; set "
                f"method.sharing.windows to at most {most}"
            )

    @property
    def size_divisor(self) -> int:
        """What sides of images are multiples of, in pixels."""
        return self.patch * (4 if self.large_windows else 2)

    def counts(self, patches: int) -> Windows:
        """The windows that share a token in an image of that many patches."""
        large = min(_count(self.large_windows, patches, self.patches, side=4), patches // 16)
        small = _count(self.windows, patches, self.patches, side=2)
        return Windows(small=min(small, patches // 4 - 4 * large), large=large)

    @abstractmethod
    def window_scores(self, images: Tensor, embed: Callable[[], Tensor]) -> WindowScores:
        """How uniform each window is; those of 4x4 are asked for if `large_windows` is above 0.

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
        return WindowScores(scores, logits=logits if self.joint else None)

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
        small = torch.rand((images.shape[0], count), generator=generator, **kind)
        if not self.large_windows:
            return WindowScores(small)
        large = torch.rand((images.shape[0], count // 4), generator=generator, **kind)
        return WindowScores(small, large)


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
        labels = images[:, 3].long()
        sides = (2, 4) if self.large_windows else (2,)
        uniform = (window_labels(labels, window=side * self.patch) for side in sides)
        return WindowScores(*(one.flatten(1).float() for one in uniform))


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
        # as the mean cosine; so for sixteen
        sides = (2, 4) if self.large_windows else (2,)
        means = (F.avg_pool2d(maps, side).square().sum(1) for side in sides)
        return WindowScores(*(one.flatten(1).detach() for one in means))


def check_grid(image_size: Size, divisor: int) -> None:
    """Raises ConfigError unless windows fill images of that size."""
    if any(side % divisor for side in image_size):
        raise ConfigError(
            f"token sharing needs sides that are multiples of {divisor}, but data.crop_size "
            f"is {list(image_size)}; set {nearest(image_size, divisor)}"
        )


def check_count(
    key: str, count: int | float, image_size: Size, patches: int, *, side: Literal[2, 4]
) -> None:
    """Raises ConfigError for more windows of side x side patches than there are."""
    there = patches // side**2
    share = 1 - 1 / side**2
    most = share if isinstance(count, float) and count % 1 else there
    if not 0 <= count <= most:
        raise ConfigError(
            f"method.sharing.{key}={count} does not fit: images of {image_size[0]}x{image_size[1]} "
            f"have {there} windows of {side}x{side} patches; set method.sharing.{key} to a number "
            f"from 0 to {there}, or to a share from 0.0 to {share:g}"
        )


def windows_for(tokens: int, patches: int, large: int) -> int:
    """How many windows of 2x2 leave so many tokens.

    Raises:
        ConfigError: no number does.
    """
    left = patches - 15 * large
    small, over = divmod(left - tokens, 3)
    most = patches // 4 - 4 * large
    if over or not 0 <= small <= most:
        near = {left - 3 * min(max(count, 0), most) for count in (small, small + 1)}
        said = " or ".join(map(str, sorted(near)))
        raise ConfigError(
            f"method.sharing.tokens={tokens} cannot be reached: of {patches} patches, windows of "
            f"2x2 take 3 each away, and {large} of 4x4 (method.sharing.large_windows) 15; "
            f"nearest is method.sharing.tokens={said}"
        )
    return small


def _count(count: int | float, patches: int, reference: int, *, side: Literal[2, 4]) -> int:
    """Windows of side x side in an image of that many patches; of a share, enough to save it."""
    exact = _exact(count, patches, reference, side=side)
    return math.ceil(exact) if _is_share(count) else round(exact)


def _exact(count: int | float, patches: int, reference: int, *, side: Literal[2, 4]) -> float:
    return count * patches / (side**2 - 1 if _is_share(count) else reference)


def _is_share(count: int | float) -> bool:
    return isinstance(count, float) and 0 < count < 1
