"""Shapes on the canvas, and the perspective that places them.

Coordinates are pixels, x right and y down, with pixel centres at + 1/2. Lengths in the street are
metres; what stands at a distance is told by its scale in pixels a metre.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segsuite.data.scenes.canvas import Region

Span = tuple[float, float]
"""From where to where: left and right, or low and high."""


def rectangle(left: float, top: float, right: float, bottom: float, view: "View") -> Region:
    """Pixels whose centre is inside; at least one pixel wide and high."""
    x, y = int(left + 0.5), int(top + 0.5)
    return view.clipped(y, max(int(bottom + 0.5), y + 1), x, max(int(right + 0.5), x + 1))


def ellipse(
    x: float, y: float, across: float, down: float, view: "View", hole: float = 0
) -> Region:
    """An ellipse with half-axes `across` and `down`; a ring when `hole`, a share, is given."""
    box = rectangle(x - across, y - down, x + across, y + down, view)
    distance = _squared(x, y, across, down, box)
    mask = distance <= 1
    if hole:
        mask &= distance >= hole * hole
    return replace(box, mask=mask)


def _squared(x: float, y: float, across: float, down: float, box: Region) -> NDArray[np.float64]:
    """Squared distances from (x, y) of the box's pixels, in half-axes: 1 on the ellipse."""
    u = (np.arange(box.left, box.right) + (0.5 - x)) / max(across, 0.5)
    v = (np.arange(box.top, box.bottom) + (0.5 - y)) / max(down, 0.5)
    return (u * u)[None, :] + (v * v)[:, None]


def blob(
    x: float, y: float, across: float, down: float, view: "View", grain: NDArray[np.uint8]
) -> Region:
    """An ellipse with a frayed edge: foliage and clouds. `grain` is the canvas's random field."""
    box = rectangle(x - across, y - down, x + across, y + down, view)
    if box.empty:
        return box
    fray = grain[box.box] * (1 / 512)
    mask = _squared(x, y, across, down, box) + fray <= 1
    return replace(box, mask=mask)


def trapezoid(top: float, bottom: float, upper: Span, lower: Span, view: "View") -> Region:
    """Level edges at `top` and `bottom`, from left to right given by `upper` and `lower`."""
    left, right = min(upper[0], lower[0]), max(upper[1], lower[1])
    box = rectangle(left, top, right, bottom, view)
    share = (np.arange(box.top, box.bottom) + (0.5 - top)) / max(bottom - top, 1)
    starts = upper[0] + (lower[0] - upper[0]) * share
    ends = upper[1] + (lower[1] - upper[1]) * share
    x = np.arange(box.left, box.right) + 0.5
    mask = (x[None, :] >= starts[:, None]) & (x[None, :] < ends[:, None])
    return replace(box, mask=mask)


@dataclass(frozen=True)
class View:
    """A camera above the middle of a street that runs to a vanishing point.

    Attributes:
        height, width: height and width of the image.
        horizon, vanishing: y and x of the vanishing point.
        eye: height of the camera in metres above the ground.
    """

    height: int
    width: int
    horizon: float
    vanishing: float
    eye: float

    @property
    def nearest(self) -> float:
        """Pixels a metre at the lower edge of the image."""
        return (self.height - self.horizon) / self.eye

    def ground(self, scale: float) -> float:
        """The y of the ground where it is `scale` pixels to a metre."""
        return self.horizon + self.eye * scale

    def across(self, aside: float, scale: float) -> float:
        """The x of what is `aside` metres right of the camera."""
        return self.vanishing + aside * scale

    def clipped(self, top: int, bottom: int, left: int, right: int) -> Region:
        """That box, or what of it is in the image."""
        return Region(max(top, 0), min(bottom, self.height), max(left, 0), min(right, self.width))

    def strip(self, left: float, right: float) -> Region:
        """The ground between two distances, in metres right of the camera, up to the horizon."""
        tip = (self.vanishing, self.vanishing)
        at_edge = (self.across(left, self.nearest), self.across(right, self.nearest))
        return trapezoid(self.horizon, self.height, tip, at_edge, self)

    def plane(self, aside: float, near: float, far: float, low: float, high: float) -> "Plane":
        """An upright plane along the street, `aside` metres right (left if negative) of the camera.

        Args:
            near, far: scales of its near and of its far end.
            low, high: height of its lower and of its upper edge in metres above the ground.
        """
        ends = sorted((self.across(aside, near), self.across(aside, far)))
        top = min(self.ground(near) - high * near, self.ground(far) - high * far)
        bottom = max(self.ground(near) - low * near, self.ground(far) - low * far)
        box = rectangle(ends[0], top, ends[1], bottom, self)
        scales = (np.arange(box.left, box.right) + (0.5 - self.vanishing)) / aside
        depth = 1 / np.maximum(scales, far)
        rise = self.horizon - (np.arange(box.top, box.bottom) + 0.5)
        heights = self.eye + rise[:, None] * depth[None, :]
        mask = (heights >= low) & (heights < high)
        return Plane(replace(box, mask=mask), heights, depth * self.nearest)


@dataclass(frozen=True)
class Plane:
    """An upright plane on the canvas with its own coordinates.

    Attributes:
        heights: (rows, columns) height in metres above the ground.
        depth: (columns,) distance from the camera, 1 at the lower edge of the image.
    """

    region: Region
    heights: NDArray[np.float64]
    depth: NDArray[np.float64]

    def panes(self, storey: float, span: Span, bay: float, width: float, above: float) -> Region:
        """Windows: in each storey from span[0] to span[1] of it, in each bay its first `width`."""
        level = self.heights / storey
        level -= np.floor(level)
        along = self.depth / bay
        along -= np.floor(along)
        mask = self.region.mask & (level >= span[0]) & (level < span[1]) & (along < width)[None, :]
        mask &= self.heights >= above
        return replace(self.region, mask=mask)
