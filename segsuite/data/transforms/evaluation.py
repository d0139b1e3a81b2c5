"""What a network sees in evaluation; labels keep their own size, predictions are brought to it.

Each is called with a (3, H, W) uint8 image and returns another.
"""

from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Pixels, Sides
from segsuite.data.transforms.geometry import fitted, resized_image, whole


class AsItIs:
    """The stored image; inference pads it to what the network needs."""

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W), unchanged."""
        return image.contiguous()


class FitWithin:
    """The image scaled, in its own shape, to fit in (long side, short side).

    Small images grow: ADE20K's protocol fits every image in (2048, 512).

    Raises:
        ConfigError: `long` is less than `short`.
    """

    def __init__(self, *, long: Pixels, short: Pixels) -> None:
        if long < short:
            raise ConfigError(
                f"data.eval_transform has long={long}, short={short}: the long side is the larger; "
                f"type data.eval_transform.long={short} data.eval_transform.short={long}"
            )
        self._long, self._short = long, short

    def __call__(self, image: Tensor) -> Tensor:
        """(3, h, w) of the image's shape."""
        size = fitted(tuple(image.shape[-2:]), self._long, self._short)
        return resized_image(image, whole(size)).contiguous()


class ResizeTo:
    """The image stretched to exactly `size` (height, width)."""

    def __init__(self, *, size: Sides) -> None:
        self._size = (size[0], size[1])

    def __call__(self, image: Tensor) -> Tensor:
        """(3, *size)."""
        return resized_image(image, whole(self._size)).contiguous()
