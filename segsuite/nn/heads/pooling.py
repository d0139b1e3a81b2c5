"""What heads with image pooling ask before they train."""

from torch import Tensor, nn

from segsuite.core.errors import ConfigError


def check_pooled(x: Tensor, norm: nn.Module, *, instead: str = "method.norm=gn16") -> None:
    """Raises ConfigError where the batch norm behind image pooling would see a single number.

    Args:
        instead: what to type where the batch cannot be larger.

    Shapes: x (B, C, h, w), what is pooled
    """
    if len(x) == 1 and norm.training and isinstance(norm, nn.BatchNorm2d):
        raise ConfigError(
            "one image per step cannot train the batch norm behind image pooling, which then "
            f"sees one number per channel; set data.batch_size to 2 or more, or type {instead}"
        )
