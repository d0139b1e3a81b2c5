"""A whole image: a street is laid out, then painted from far to near."""

from collections.abc import Callable

from segsuite.core.sizes import Size
from segsuite.data.scenes import scenery, traffic
from segsuite.data.scenes.canvas import Canvas
from segsuite.data.scenes.dice import Dice
from segsuite.data.scenes.kinds import Wardrobe
from segsuite.data.scenes.scenery import Place
from segsuite.data.scenes.view import View

Drawing = Callable[[Canvas, View, Dice, Wardrobe, Place], None]

_VEHICLES: tuple[tuple[float, Drawing], ...] = (
    (0.35, traffic.draw_car),
    (0.54, traffic.draw_truck),
    (0.73, traffic.draw_bus),
    (0.90, traffic.draw_train),
    (1.00, traffic.draw_two_wheeler),
)
"""(cumulative probability, how it is drawn)."""


def draw_street(size: Size, num_classes: int, key: tuple[int, ...]) -> Canvas:
    """The painted canvas of the street that `key` determines."""
    dice = Dice(*key)
    canvas, wardrobe = Canvas(size, dice), Wardrobe(num_classes)
    height, width = size
    view = View(
        height=height,
        width=width,
        horizon=dice.between(0.34, 0.52) * height,
        vanishing=dice.between(0.25, 0.75) * width,
        eye=dice.between(1.6, 2.6),
    )
    road = dice.between(2.4, 5.0)
    kerb = road + dice.between(1.5, 4.0)
    scenery.draw_sky(canvas, view, dice, wardrobe)
    scenery.draw_backdrop(canvas, view, dice, wardrobe)
    scenery.draw_ground(canvas, view, dice, wardrobe, road, kerb)
    for side in (-1, 1):
        aside = side * (kerb + dice.of((0.0, 0.0, 1.5, 3.5)))
        scenery.draw_side(canvas, view, dice, wardrobe, aside)
    placed = _placed(view, dice, road, kerb)
    for scale, aside, drawing in sorted(placed, key=lambda item: item[:2]):
        place = (view.across(aside, scale), view.ground(scale), scale)
        drawing(canvas, view, dice, wardrobe, place)
    if dice.chance(0.3):
        scenery.draw_bonnet(canvas, view, dice)
    return canvas


def _placed(view: View, dice: Dice, road: float, kerb: float) -> list[tuple[float, float, Drawing]]:
    """(scale, metres aside, drawing) of everything that stands in the street."""
    placed: list[tuple[float, float, Drawing]] = []

    def place(count: int, drawing: Drawing, low: float, high: float, nearest: float) -> None:
        for _ in range(count):
            scale = view.nearest * (0.05 + (nearest - 0.05) * dice.share() * dice.share())
            aside = dice.between(low, high) * dice.of((-1, 1))
            placed.append((scale, aside, drawing))

    place(2 + dice.below(4), _vehicle, 0.15 * road, 0.85 * road, 0.45)
    place(dice.below(4), traffic.draw_car, 0.85 * road, road, 0.6)
    place(dice.below(6), traffic.draw_person, road, kerb, 0.75)
    place(dice.below(2), traffic.draw_person, 0.0, road, 0.5)
    place(dice.below(5), traffic.draw_two_wheeler, 0.5 * road, kerb, 0.7)
    place(dice.below(5), scenery.draw_tree, kerb - 0.8, kerb + 4, 0.7)
    place(2 + dice.below(4), scenery.draw_post, road + 0.2, kerb, 0.8)
    return placed


def _vehicle(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    lot = dice.share()
    drawing = next(drawing for share, drawing in _VEHICLES if lot < share)
    drawing(canvas, view, dice, wardrobe, place)
