"""What does not move: sky, ground, the two sides of the street, and what stands along it."""

from itertools import pairwise

import numpy as np

from segsuite.data.scenes.canvas import NOTHING, Canvas, Region
from segsuite.data.scenes.dice import Dice
from segsuite.data.scenes.kinds import Wardrobe
from segsuite.data.scenes.view import View, blob, ellipse, rectangle, trapezoid

_SKIES = ((150, 185, 225), (190, 200, 210), (120, 160, 215), (215, 190, 170), (165, 170, 180))
_FACADES = ((170, 140, 115), (150, 95, 80), (185, 180, 165), (135, 130, 130), (195, 165, 120))
_SIGNS = ((200, 40, 40), (40, 80, 180), (225, 200, 60), (235, 235, 235), (40, 130, 70))


def draw_sky(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe) -> None:
    """The sky, lighter towards the horizon, and clouds."""
    coat = wardrobe.coat("sky", dice, dice.of(_SKIES), 25)
    sky = canvas.coat(coat, x=0, y=0, scale=1, roughness=2)
    everything = Region(0, view.height, 0, view.width)
    canvas.fill(everything, sky)
    rows = np.arange(view.height) * 60 // max(int(view.horizon), 1)
    canvas.shade_rows(everything, np.minimum(rows - 30, 40).astype(np.int16))
    for _ in range(dice.below(5)):
        wide = dice.between(0.08, 0.3) * view.width
        x, y = dice.between(0, view.width), dice.between(0, view.horizon)
        canvas.shade(blob(x, y, wide, wide / 4, view, canvas.grain), 12 + dice.below(25))


def draw_backdrop(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe) -> None:
    """Far houses and trees along the horizon."""
    for _ in range(6 + dice.below(6)):
        x, wide = dice.between(0, view.width), dice.between(0.03, 0.1) * view.width
        high = dice.between(0.03, 0.16) * view.height
        if dice.chance(0.5):
            coat = wardrobe.coat("building", dice, dice.of(_FACADES), 20)
            paint = canvas.coat(coat, x=x, y=view.horizon, scale=4)
            house = rectangle(x - wide, view.horizon - high, x + wide, view.horizon, view)
            canvas.fill(house, paint, 15)
        else:
            coat = wardrobe.coat("vegetation", dice, (85, 115, 75), 20)
            paint = canvas.coat(coat, x=x, y=view.horizon, scale=4, roughness=30)
            canvas.fill(blob(x, view.horizon, wide, high, view, canvas.grain), paint, 10)


def draw_ground(
    canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, road: float, kerb: float
) -> None:
    """Terrain, pavements up to `kerb` metres aside and the road up to `road`, with its markings."""
    below = rectangle(0, view.horizon, view.width, view.height, view)
    terrain = wardrobe.coat("terrain", dice, dice.of(((110, 135, 70), (140, 130, 90))), 20)
    canvas.fill(below, canvas.coat(terrain, x=0, y=0, scale=20, roughness=28))
    grey = 85 + dice.below(50)
    for side in (-1, 1):
        if dice.chance(0.9):
            lighter = grey + 12 + dice.below(45)
            slabs = wardrobe.coat("sidewalk", dice, (lighter, lighter, lighter - 8), 12)
            strip = view.strip(min(side * road, side * kerb), max(side * road, side * kerb))
            canvas.fill(strip, canvas.coat(slabs, x=0, y=0, scale=30, roughness=10))
    asphalt = canvas.coat(wardrobe.coat("road", dice, (grey, grey, grey + 4), 8), x=0, y=0, scale=1)
    canvas.fill(view.strip(-road, road), asphalt)
    paint = canvas.paint(0, dice.color((215, 215, 205), 15))
    solid, lane = dice.chance(0.3), dice.of((0.0, road / 3))
    edges = (0.92 * road, -0.92 * road) if dice.chance(0.6) else ()
    for aside in (-lane, lane, *edges):
        line = view.strip(aside - 0.08, aside + 0.08)
        if not solid and abs(aside) < 0.9 * road:
            line.mask[~_dashes(view, line)] = False
        canvas.fill(line, paint)


def _dashes(view: View, line: Region) -> np.ndarray:
    """(rows,) bool: every other four metres or so of the way."""
    y = np.arange(line.top, line.bottom) + 0.5 - view.horizon
    away = 0.5 * (view.height - view.horizon) * view.eye / np.maximum(y, 0.5)
    return np.floor(away).astype(np.int64) % 2 == 0


def draw_side(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, aside: float) -> None:
    """One side of the street from far to near: houses, walls, fences, hedges and gaps."""
    light = dice.of((-25, -10, 0, 12))
    ends = [0.03 * view.nearest]
    while ends[-1] < 1.6 * view.nearest:
        ends.append(ends[-1] * dice.between(1.3, 2.1))
    for far, near in pairwise(ends):
        use, lot = dice.share(), (aside, near, far, light)
        if use < 0.52:
            _house(canvas, view, dice, wardrobe, lot)
        elif use < 0.68:
            _barrier(canvas, view, dice, wardrobe, "wall", lot)
        elif use < 0.84:
            _barrier(canvas, view, dice, wardrobe, "fence", lot)
        elif use < 0.94:
            _hedge(canvas, view, dice, wardrobe, lot)


Place = tuple[float, float, float]
"""(x, y, pixels a metre)."""

Lot = tuple[float, float, float, int]
"""(metres aside, scale of the near end, scale of the far end, tone of the light)."""


def _house(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, lot: Lot) -> None:
    aside, near, far, light = lot
    high = dice.between(4, 16)
    facade = view.plane(aside, near, far, 0, high)
    coat = wardrobe.coat("building", dice, dice.of(_FACADES), 30)
    x, y = view.across(aside, near), view.ground(near)
    canvas.fill(facade.region, canvas.coat(coat, x=x, y=y, scale=near / 4), light)
    if facade.region.empty:
        return
    glass = canvas.paint(coat.label, dice.color((75, 85, 100), 25))
    storey, bay = dice.between(2.6, 3.6), dice.between(0.3, 1.2)
    span = (dice.between(0.2, 0.4), dice.between(0.65, 0.85))
    panes = facade.panes(storey, span, bay, dice.between(0.3, 0.7), dice.of((0.0, storey)))
    canvas.fill(panes, glass, light)


def _barrier(
    canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, kind: str, lot: Lot
) -> None:
    """A wall in courses of stone, or a fence of pickets; trees may look over it."""
    aside, near, far, light = lot
    if dice.chance(0.5):
        lot = (1.3 * aside, near, far, light)
        _hedge(canvas, view, dice, wardrobe, lot, high=dice.between(3, 6))
    plane = view.plane(aside, near, far, 0, dice.between(1.2, 2.6))
    plain = dice.of(((140, 125, 110), (165, 155, 145))) if kind == "wall" else (95, 85, 75)
    coat = wardrobe.coat(kind, dice, plain, 25)
    x, y = view.across(aside, near), view.ground(near)
    canvas.fill(plane.region, canvas.coat(coat, x=x, y=y, scale=near / 4), light)
    if plane.region.empty:
        return
    dark = canvas.paint(coat.label, dice.color((70, 75, 60), 15))
    if kind == "wall":
        canvas.fill(plane.panes(0.4, (0.0, 0.15), 1.0, 1.1, 0), dark, light)
    else:
        canvas.fill(plane.panes(5.0, (0.04, 0.9), dice.between(0.1, 0.25), 0.6, 0), dark, light)


def _hedge(
    canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, lot: Lot, high: float = 2.0
) -> None:
    aside, near, far, _ = lot
    coat = wardrobe.coat("vegetation", dice, (70, 105, 55), 25)
    paint = canvas.coat(coat, x=0, y=0, scale=near / 4, roughness=40)
    for step in range(5):
        scale = far + (near - far) * step / 4
        x, y = view.across(aside, scale), view.ground(scale) - high * scale / 2
        canvas.fill(blob(x, y, 0.9 * high * scale, 0.7 * high * scale, view, canvas.grain), paint)


def draw_tree(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """A trunk and a crown of frayed blobs, darker below; all of it is vegetation."""
    x, y, scale = place
    coat = wardrobe.coat("vegetation", dice, dice.of(((75, 110, 55), (95, 125, 70))), 25)
    high, wide = dice.between(4, 9) * scale, dice.between(1.2, 2.6) * scale
    trunk = canvas.paint(coat.label, dice.color((90, 72, 58), 15), roughness=20)
    half = 0.14 * scale + 0.3
    canvas.fill(rectangle(x - half, y - 0.7 * high, x + half, y, view), trunk)
    leaves = canvas.coat(coat, x=x, y=y - high, scale=scale, roughness=48)
    for number in range(5):
        across = x + dice.between(-0.6, 0.6) * wide
        up = y - high * dice.between(0.6, 0.95)
        size = wide * dice.between(0.6, 1.0)
        canvas.fill(blob(across, up, size, size, view, canvas.grain), leaves, 6 * number - 14)


def draw_post(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """A pole with a lamp, a traffic light, a sign, or nothing on it."""
    x, y, scale = place
    high = dice.between(2.8, 6) * scale
    plain = dice.of(((105, 105, 105), (140, 140, 135), (70, 75, 70)))
    pole = wardrobe.coat("pole", dice, plain, 20)
    half = max(dice.between(0.05, 0.1) * scale, 0.5)
    paint = canvas.coat(pole, x=x, y=y, scale=scale)
    canvas.fill(rectangle(x - half, y - high, x + half, y, view), paint)
    use = dice.share()
    if use < 0.3:
        _traffic_light(canvas, view, dice, wardrobe, (x, y - high, scale))
    elif use < 0.7:
        _traffic_sign(canvas, view, dice, wardrobe, (x, y - high, scale))
    elif use < 0.9:
        reach = dice.between(-1.5, 1.5) * scale
        left, right = min(x, x + reach), max(x, x + reach)
        canvas.fill(rectangle(left, y - high, right, y - high + half, view), paint)


def _traffic_light(
    canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place
) -> None:
    x, top, scale = place
    coat = wardrobe.coat("traffic light", dice, (45, 48, 45), 12)
    case = canvas.coat(coat, x=x, y=top, scale=2 * scale)
    canvas.fill(rectangle(x - 0.2 * scale, top, x + 0.2 * scale, top + 1.1 * scale, view), case)
    lit = dice.below(3)
    for number, color in enumerate(((240, 60, 40), (245, 190, 60), (60, 220, 120))):
        lamp = canvas.paint(coat.label, color if number == lit else (60, 50, 45), roughness=0)
        y = top + (0.2 + 0.35 * number) * scale
        canvas.fill(ellipse(x, y, 0.14 * scale, 0.14 * scale, view), lamp)


def _traffic_sign(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    x, top, scale = place
    coat = wardrobe.coat("traffic sign", dice, dice.of(_SIGNS), 20)
    paint = canvas.coat(coat, x=x, y=top, scale=2 * scale)
    inner = canvas.paint(coat.label, dice.of(((240, 240, 240), coat.color, (30, 30, 40))))
    half = dice.between(0.32, 0.55) * scale
    middle = top + half
    form = dice.below(3)
    if form == 0:
        canvas.fill(ellipse(x, middle, half, half, view), paint)
        canvas.fill(ellipse(x, middle, 0.65 * half, 0.65 * half, view), inner)
    elif form == 1:
        canvas.fill(trapezoid(top, top + 2 * half, (x, x + 1), (x - half, x + half), view), paint)
    else:
        canvas.fill(rectangle(x - half, top, x + half, top + 1.6 * half, view), paint)
        field = rectangle(x - 0.6 * half, top + 0.5 * half, x + 0.6 * half, middle, view)
        canvas.fill(field, inner)


def draw_bonnet(canvas: Canvas, view: View, dice: Dice) -> None:
    """The bonnet of the own car, which belongs to no class."""
    paint = canvas.paint(NOTHING, dice.color((60, 60, 70), 40), roughness=0)
    middle, half = view.width / 2, view.width * dice.between(0.35, 0.6)
    canvas.fill(ellipse(middle, view.height, half, 0.1 * view.height, view), paint)
