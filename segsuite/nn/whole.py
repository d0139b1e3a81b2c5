"""A network with the last step to labels, as what is timed and exported whole."""

from torch import Tensor, nn

from segsuite.core.sizes import Size
from segsuite.nn.segmenter import Segmenter


class Whole(nn.Module):
    """From images (B, 3, H, W) to class ids (B, H, W) of their pixels.

    Args:
        size: (H, W) of the images.
    """

    def __init__(self, network: Segmenter, size: Size) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, images: Tensor) -> Tensor:
        return self.network.predict(images).labels(self.size)
