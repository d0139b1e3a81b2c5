"""Images as sequences of patches."""

from torch import Tensor


def patchify(images: Tensor, patch: int) -> Tensor:
    """Non-overlapping patches in row-major order, each flattened as a convolution weight is.

    Shapes: images (B, C, gh * patch, gw * patch) -> (B, gh * gw, C * patch * patch)
    """
    batch, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    tiles = images.reshape(batch, channels, rows, patch, columns, patch)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
