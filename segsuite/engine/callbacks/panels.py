"""Captioned panels for one image, and the sheet that they stand on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from segsuite.core.sizes import Size
from segsuite.data.palette import colourise
from segsuite.nn.token_trace import TokenTrace

_GAP = 6
_CAPTION = 16
_LEAST_WIDTH = 180
_BORDER = np.array([255, 221, 0], dtype=np.uint8)
_PAPER = (24, 24, 28)


@dataclass(frozen=True)
class Panel:
    """A caption and (H, W, 3) uint8 pixels."""

    caption: str
    pixels: NDArray[np.uint8]


def image_panel(caption: str, image: Tensor) -> Panel:
    """The image itself.

    Shapes: image (3, h, w), 0..255
    """
    return Panel(caption, _pixels(image))


def label_panel(caption: str, labels: Tensor, colors: NDArray[np.uint8]) -> Panel:
    """A label map in the colours of its classes.

    Shapes: labels (H, W)
    """
    return Panel(caption, colourise(labels.numpy(), colors))


def token_panels(image: Tensor, trace: TokenTrace) -> list[Panel]:
    """Which patches share a token, where some do, and which are worked on in each later stage.

    Shapes: image (3, h, w); the trace is of a batch of one, its grid may reach beyond the image
    """
    owner = trace.owner[0].cpu().view(trace.grid)
    tokens = int(owner.unique().numel())
    panels = []
    if tokens < owner.numel():
        caption = f"{owner.numel()} patches, {tokens} tokens"
        panels.append(Panel(caption, _shared(image, owner, trace.covers)))
    counts = trace.counts()[0].tolist()
    for stage in range(1, len(trace.stages)):
        alive = trace.alive(stage)[0].cpu()
        caption = f"{counts[stage]} tokens left after block {trace.stages[stage].after}"
        panels.append(Panel(caption, _dimmed(image, alive, trace.covers)))
    return panels


Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels, as Pillow crops."""


def contact_sheet(panels: Sequence[Panel], *, columns: int = 3) -> tuple[Image.Image, list[Box]]:
    """The panels in rows, all as large as the first, captions above them; and where each stands."""
    height, width = panels[0].pixels.shape[:2]
    scale = max(1.0, _LEAST_WIDTH / width)
    height, width = round(height * scale), round(width * scale)
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    cell = (width + _GAP, height + _CAPTION + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _PAPER)
    pen, boxes = ImageDraw.Draw(sheet), []
    for place, panel in enumerate(panels):
        left = _GAP + (place % columns) * cell[0]
        top = _GAP + (place // columns) * cell[1]
        pen.text((left, top), panel.caption, fill=(235, 235, 235))
        image = Image.fromarray(panel.pixels).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(image, (left, top + _CAPTION))
        boxes.append((left, top + _CAPTION, left + width, top + _CAPTION + height))
    return sheet, boxes


def _shared(image: Tensor, owner: Tensor, covers: Size) -> NDArray[np.uint8]:
    """The image with a line around every group of patches that share a token."""
    height, width = image.shape[-2:]
    at_pixels = _at_pixels(owner, covers, (height, width))
    edge = torch.zeros(height, width, dtype=torch.bool)
    edge[1:] |= at_pixels[1:] != at_pixels[:-1]
    edge[:, 1:] |= at_pixels[:, 1:] != at_pixels[:, :-1]
    pixels = _pixels(image)
    pixels[edge.numpy()] = _BORDER
    return pixels


def _dimmed(image: Tensor, alive: Tensor, covers: Size) -> NDArray[np.uint8]:
    """The image, dark where no token is worked on any more."""
    lit = _at_pixels(alive, covers, tuple(image.shape[-2:])).numpy()[..., None]
    pixels = _pixels(image)
    return np.where(lit, pixels, pixels // 5)


def _at_pixels(grid: Tensor, covers: Size, size: Size) -> Tensor:
    """A map of patches as one of pixels, without what lies in the padding.

    Args:
        covers: size in pixels that the patches cover, which may not be whole multiples of them.
    """
    whole = F.interpolate(grid[None, None].double(), size=covers, mode="nearest-exact")[0, 0]
    return whole[: size[0], : size[1]].to(grid.dtype)


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    return image.permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).contiguous().numpy().copy()
