"""Panels of panoptic maps: segments with borders, the heat of centres, offsets."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segsuite.data.palette import bordered, colourise
from segsuite.engine.callbacks.panels import Panel


def segments_panel(
    caption: str, labels: Tensor, instances: Tensor, colors: NDArray[np.uint8]
) -> Panel:
    """A panoptic map in the colours of its classes, with a white line around every instance.

    Shapes: labels (H, W) with IGNORE, which is black; instances (H, W)
    """
    return Panel(caption, bordered(colourise(labels.numpy(), colors), instances.numpy()))


def heat_panel(caption: str, heat: Tensor) -> Panel:
    """From 0, black, to 1, white.

    Shapes: heat (H, W)
    """
    grey = (heat.float().nan_to_num(0).clamp(0, 1) * 255).round().byte().numpy()
    return Panel(caption, np.repeat(grey[..., None], 3, axis=2))


def offsets_panel(caption: str, offsets: Tensor, shown: Tensor) -> Panel:
    """Direction as hue, length as brightness up to the longest that is shown.

    Shapes: offsets (2, H, W), y first; shown (H, W) bool, where there is one
    """
    y, x = offsets.float().nan_to_num(0, 0, 0).numpy()  # of a network that has not settled
    seen = shown.numpy()
    length = np.hypot(y, x) * seen
    value = length / max(float(length.max()), 1e-6)
    hue = np.arctan2(y, x) / (2 * np.pi) % 1.0
    rgb = np.stack([_channel(hue, shift) for shift in (0.0, 1 / 3, 2 / 3)], axis=2)
    return Panel(caption, (255 * rgb * value[..., None]).round().astype(np.uint8))


def _channel(hue: NDArray[np.floating], shift: float) -> NDArray[np.floating]:
    """One of red, green and blue of a fully saturated hue, 0 to 1."""
    return np.clip(np.abs(((hue - shift) % 1.0) * 6 - 3) - 1, 0, 1)
