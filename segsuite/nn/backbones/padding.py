"""TensorFlow's padding in the networks that timm took from it, laid evenly around the image."""

from torch import nn

from segsuite.nn.blocks import padded_anew


def with_symmetric_padding(body: nn.Module) -> nn.Module:
    """The network with as many zeros in front of each strided convolution as behind it.

    TensorFlow pads by the size of the image: evenly where sides are 32 n + 1, but behind it alone
    where they are even, so that each halving moves what a point of the map sees by a pixel, up to
    15 at stride 16 and 31 at stride 32. Heads and predictions take it to see every 16th pixel from
    the first on. Weights stay as they are: inside of an image a convolution does not know where its
    grid begins.
    """
    from timm.layers import Conv2dSame, ScaledStdConv2dSame, StdConv2dSame

    for name, child in body.named_children():
        if isinstance(child, Conv2dSame):
            setattr(body, name, padded_anew(child, _padding(child), nn.Conv2d))
        elif isinstance(child, StdConv2dSame | ScaledStdConv2dSame):
            if child.same_pad:
                child.padding, child.same_pad = _padding(child), False
        else:
            with_symmetric_padding(child)
    return body


def _padding(conv: nn.Conv2d) -> tuple[int, int]:
    height, width = (
        dilation * (kernel - 1) // 2
        for kernel, dilation in zip(conv.kernel_size, conv.dilation, strict=True)
    )
    return height, width
