"""A canvas that remembers which surface each pixel shows; labels and colours follow from that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segsuite.core.labels import IGNORE
from segsuite.core.sizes import Size
from segsuite.data.scenes.dice import Dice
from segsuite.data.scenes.kinds import Coat, Color

Mask = NDArray[np.bool_]

NOTHING = IGNORE
"""The label of surfaces that belong to no class, such as the bonnet of the own car."""


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels to be painted: those of a box where `mask` is true, or all of them."""

    top: int
    bottom: int
    left: int
    right: int
    mask: Mask | None = None

    @property
    def empty(self) -> bool:
        return self.top >= self.bottom or self.left >= self.right

    @property
    def box(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Paint:
    """A surface of the canvas, and perhaps a second one in stripes.

    Attributes:
        stripes: (x, y, offset): pixels where floor(x * px + y * py + offset) is odd show `second`.
    """

    surface: int
    second: int | None = None
    stripes: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Canvas:
    """Painted from far to near; what is painted later hides what was there."""

    def __init__(self, size: Size, dice: Dice) -> None:
        self.height, self.width = size
        self.dice = dice
        self._shown = np.zeros(size, np.int16)
        self._tone = np.zeros(size, np.int16)
        self._classes: list[int] = []
        self._instances: list[int] = []
        self._colors: list[Color] = []
        self._roughness: list[int] = []
        self._things = 0
        rows, columns = -(-self.height // 2), -(-self.width // 2)
        fine = dice.bytes(rows, columns).repeat(2, 0).repeat(2, 1)
        coarse = dice.bytes(-(-rows // 4), -(-columns // 4)).repeat(8, 0).repeat(8, 1)
        self.grain = fine[: self.height, : self.width]
        """(H, W) uint8: a random field, in squares of 2 pixels; it frays the edges of foliage."""
        self.drift = _softened(coarse[: self.height, : self.width].astype(np.int16), 8)
        """(H, W) int16 in 0..255: a random field that changes slowly."""

    def new_instance(self) -> int:
        """The id of the next thing, from 1."""
        self._things += 1
        return self._things

    def paint(self, label: int, color: Color, *, instance: int = 0, roughness: int = 8) -> Paint:
        """A new surface of one colour; `roughness` is how strongly it shows texture, 0..64."""
        self._classes.append(label)
        self._instances.append(instance)
        self._colors.append(color)
        self._roughness.append(roughness)
        return Paint(len(self._classes) - 1)

    def coat(
        self, coat: Coat, *, x: float, y: float, scale: float, instance: int = 0, roughness: int = 8
    ) -> Paint:
        """The surface of a coat on something at (x, y) that is `scale` pixels to a metre."""
        first = self.paint(coat.label, coat.color, instance=instance, roughness=roughness)
        if coat.second is None:
            return first
        second = self.paint(coat.label, coat.second, instance=instance, roughness=roughness)
        # Bands a metre, but never finer than two pixels.
        along = min(coat.bands / max(scale, 1e-3), 0.5)
        right, down = coat.direction[0] * along, coat.direction[1] * along
        return Paint(first.surface, second.surface, (right, down, -x * right - y * down))

    def fill(self, region: Region, paint: Paint, tone: int = 0) -> None:
        """Paints a region, `tone` lighter or darker than the surface's colour."""
        if region.empty:
            return
        shown, tones = self._shown[region.box], self._tone[region.box]
        surface = paint.surface if paint.second is None else _striped(region, paint)
        if region.mask is None:
            shown[...] = surface
            tones[...] = tone
        else:
            np.copyto(shown, surface, where=region.mask, casting="same_kind")
            np.copyto(tones, np.int16(tone), where=region.mask)

    def shade(self, region: Region, tone: int) -> None:
        """Makes what is there lighter or darker."""
        if not region.empty:
            tones = self._tone[region.box]
            where = True if region.mask is None else region.mask
            np.add(tones, np.int16(tone), out=tones, where=where)

    def shade_rows(self, region: Region, tones: NDArray[np.int16]) -> None:
        """Adds a tone to each row of a region without a mask."""
        self._tone[region.box] += tones[:, None]

    def labels(self) -> NDArray[np.int32]:
        """(H, W) class numbers, IGNORE where there is none."""
        return np.array(self._classes, np.int32)[self._shown]

    def instances(self) -> NDArray[np.int32]:
        """(H, W) ids of things, from 1; 0 elsewhere."""
        return np.array(self._instances, np.int32)[self._shown]

    def image(self) -> NDArray[np.uint8]:
        """(3, H, W) RGB: colours, texture, a little blur, light and noise."""
        texture = (self.grain >> 1) + (self.drift >> 1) - np.int16(127)
        rough = np.array(self._roughness, np.int16)[self._shown]
        tone = self._tone + ((rough * texture) >> 6)
        light = self.dice.between(0.7, 1.15)
        casts = [int(256 * light * self.dice.between(0.94, 1.06)) for _ in range(3)]
        strength = 4 + self.dice.below(14)
        noise = self.dice.bytes(2, 3, self.height, self.width)
        colors = np.array(self._colors, np.int16).T
        planes = []
        for channel in range(3):
            plane = np.clip(colors[channel][self._shown] + tone, 0, 255)
            plane = (_softened(plane, 1).astype(np.int32) * casts[channel]) >> 8
            speckle = noise[0, channel].astype(np.int16) + noise[1, channel] - np.int16(255)
            planes.append(np.clip(plane + ((speckle * strength) >> 7), 0, 255))
        return np.stack(planes).astype(np.uint8)


def _striped(region: Region, paint: Paint) -> NDArray[np.int16]:
    right, down, offset = paint.stripes
    x = np.arange(region.left, region.right) * right + offset
    y = np.arange(region.top, region.bottom) * down
    odd = np.floor(x[None, :] + y[:, None]).astype(np.int32) & 1
    return np.where(odd == 1, np.int16(paint.second), np.int16(paint.surface))


def _softened(field: NDArray[np.int16], reach: int) -> NDArray[np.int16]:
    """The field averaged with itself `reach` pixels away: 1/4, 1/2, 1/4 along both axes."""
    for _ in range(2):  # down, then, turned on its side, across
        padded = np.pad(field, ((reach, reach), (0, 0)), mode="edge")
        field = ((padded[: len(field)] + 2 * field + padded[2 * reach :] + 2) >> 2).T
    return field
