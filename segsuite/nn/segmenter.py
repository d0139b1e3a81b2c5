"""The contract: what every network promises, and all that the generic tools know of it.

`forward` gives a method's own loss what it needs; `predict` gives everybody else labels and scores.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor, nn

from segsuite.core.sizes import Size, check_size
from segsuite.nn.token_trace import TokenTrace
from segsuite.ops.upsample import upsampled_argmax


class Prediction(Protocol):
    """A network's answer for a batch of images."""

    trace: TokenTrace | None

    def labels(self, size: Size) -> Tensor:
        """(B, H, W) int64 class ids; never holds a (B, K, H, W) tensor."""

    def scores(self, size: Size) -> Tensor:
        """(B, K, H, W), higher is likelier."""

    def of(self, image: int) -> Self:
        """The answer for that image of the batch alone, a batch of one; its trace is left out."""


class Segmenter(nn.Module, ABC):
    """A segmentation network.

    Images are (B, 3, H, W) RGB in 0..255, uint8 or float: a network normalises its own input, so
    that nothing outside needs to know how. H and W are multiples of `size_divisor`.
    Constructors touch no file and no network; `load_initial_weights` does.
    """

    num_classes: int
    size_divisor: int = 1
    pad_value: tuple[float, float, float] = (127.5, 127.5, 127.5)
    excluded_from_cost: ClassVar[tuple[str, ...]] = ()
    """Names of submodules that papers leave out of their counts, such as a policy network."""
    training_only: ClassVar[tuple[str, ...]] = ()
    """Names of submodules that predictions do not run, such as auxiliary heads."""

    @abstractmethod
    def forward(self, images: Tensor) -> Any:
        """What the method's own loss needs, at native stride."""

    @abstractmethod
    def predict(self, images: Tensor) -> Prediction:
        """Labels and scores at any size, and what was kept where tokens are dropped."""

    def evidence(self, prediction: Prediction, size: Size) -> Tensor:
        """(B, E, H, W): what windows, flips and scales average, for `decide` to make labels of.

        The scores, unless a network knows something smaller: with 1,284 classes a full score map
        is 100 times the image.
        """
        return prediction.scores(size)

    def unmirrored(self, evidence: Tensor) -> Tensor:
        """The evidence of an image, of that of its copy mirrored from left to right.

        Mirrored back; a network whose evidence has a direction, as offsets to a centre have, also
        turns its sign.

        Shapes: evidence (B, E, h, w) -> the same
        """
        return evidence.flip(-1)

    def unscaled(self, evidence: Tensor, scale: float) -> Tensor:
        """The evidence of an image, of that of its copy of `scale` times its sides.

        As it is: evidence is asked for at the image's own size. A network whose evidence is in
        pixels, as offsets are, divides it.

        Shapes: evidence (B, E, h, w) -> the same
        """
        return evidence

    def decide(self, evidence: Tensor, size: Size) -> Tensor:
        """Class ids of averaged evidence, which is upsampled bilinearly first.

        Shapes: evidence (B, E, h, w) -> (B, *size) int64
        """
        return upsampled_argmax(evidence, size)

    def log_probabilities(self, output: Any, size: Size) -> Tensor:
        """(B, K, *size): logarithms of P(class), of what `forward` gave, with gradients.

        What a network teaches; one that has none keeps this method as it is.
        """
        raise NotImplementedError(f"{type(self).__name__} has no probabilities of classes")

    def taught_log_probabilities(self, output: Any, size: Size) -> Tensor:
        """(B, K, *size): what a teacher's probabilities are compared with while a network learns.

        `log_probabilities`, unless a part of the network that learns beside it is better taught.
        """
        return self.log_probabilities(output, size)

    def load_initial_weights(self) -> None:
        """Loads the pretrained weights that the config names; called once, before training."""

    def check_static(self) -> None:
        """Raises ConfigError where shapes depend on the image, which no exported file follows."""

    def check_size(self, images: Tensor) -> None:
        """Raises ConfigError unless the images' sides are multiples of `size_divisor`."""
        height, width = images.shape[-2:]
        check_size((height, width), self.size_divisor)
