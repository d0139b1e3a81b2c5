"""What moves, one instance each: people, cars and everything else with wheels."""

from segsuite.data.scenes.canvas import Canvas, Paint
from segsuite.data.scenes.dice import Dice
from segsuite.data.scenes.kinds import Coat, Wardrobe
from segsuite.data.scenes.scenery import Place
from segsuite.data.scenes.view import Span, View, ellipse, rectangle, trapezoid

_CARS = (
    (200, 200, 205),
    (60, 60, 65),
    (150, 30, 35),
    (40, 65, 130),
    (120, 125, 130),
    (225, 220, 210),
)
_CLOTHES = (
    (60, 60, 90),
    (150, 60, 60),
    (50, 90, 60),
    (190, 180, 160),
    (40, 40, 45),
    (200, 150, 60),
)
_SKIN = ((225, 180, 150), (170, 120, 90), (110, 75, 55))
_GLASS, _TYRE = (55, 65, 80), (28, 28, 30)


class Actor:
    """One thing being drawn: where it stands, and its paints, all of one class and instance."""

    def __init__(self, canvas: Canvas, view: View, dice: Dice, coat: Coat, place: Place) -> None:
        self.canvas, self.view, self.dice = canvas, view, dice
        self.x, self.y, self.scale = place
        self._label, self._instance = coat.label, canvas.new_instance()
        self.body = canvas.coat(
            coat, x=self.x, y=self.y, scale=self.scale, instance=self._instance, roughness=6
        )

    def color(self, color: tuple[int, int, int], spread: int = 10) -> Paint:
        """A further paint of the same thing."""
        return self.canvas.paint(
            self._label, self.dice.color(color, spread), instance=self._instance, roughness=4
        )

    def box(
        self, left: float, right: float, low: float, high: float, paint: Paint, tone: int = 0
    ) -> None:
        """A rectangle; all lengths in metres from where the thing stands."""
        s = self.scale
        region = rectangle(
            self.x + left * s, self.y - high * s, self.x + right * s, self.y - low * s, self.view
        )
        self.canvas.fill(region, paint, tone)

    def taper(self, lower: Span, upper: Span, low: float, high: float, paint: Paint) -> None:
        """A trapezoid from `lower` (left, right) at height `low` to `upper` at `high`."""
        s, x = self.scale, self.x
        edges = [(x + left * s, x + right * s) for left, right in (upper, lower)]
        region = trapezoid(self.y - high * s, self.y - low * s, *edges, self.view)
        self.canvas.fill(region, paint)

    def disc(self, along: float, up: float, radius: float, paint: Paint, hole: float = 0) -> None:
        """A circle, or a ring."""
        s = self.scale
        region = ellipse(
            self.x + along * s, self.y - up * s, radius * s, radius * s, self.view, hole
        )
        self.canvas.fill(region, paint)

    def shadow(self, half: float) -> None:
        """Darkens the ground below; the ground stays what it is."""
        s = self.scale
        self.canvas.shade(ellipse(self.x, self.y, half * s, 0.18 * half * s + 1, self.view), -35)


def draw_car(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """A car from behind, from the front or from the side."""
    car = Actor(canvas, view, dice, wardrobe.coat("car", dice, dice.of(_CARS), 18), place)
    glass, tyre = car.color(_GLASS), car.color(_TYRE, 4)
    if dice.chance(0.35):
        car.shadow(2.3)
        way = dice.of((-1, 1))
        car.taper((-1.5, 1.5), (-1.0 + 0.2 * way, 0.9 + 0.2 * way), 0.8, 1.45, car.body)
        car.taper((-1.3, 1.3), (-0.9 + 0.2 * way, 0.8 + 0.2 * way), 0.85, 1.35, glass)
        car.box(-0.05, 0.05, 0.8, 1.4, car.body)
        car.box(-2.1, 2.1, 0.3, 0.85, car.body)
        for along in (-1.3, 1.3):
            car.disc(along, 0.32, 0.32, tyre)
        return
    car.shadow(1.2)
    for along in (-0.72, 0.52):
        car.box(along, along + 0.22, 0, 0.4, tyre)
    car.taper((-0.8, 0.8), (-0.6, 0.6), 0.8, 1.45, car.body)
    car.taper((-0.68, 0.68), (-0.52, 0.52), 0.85, 1.35, glass)
    car.box(-0.9, 0.9, 0.25, 0.85, car.body, -6)
    lights = car.color(dice.of(((200, 40, 30), (250, 245, 220))))
    for along in (-0.85, 0.6):
        car.box(along, along + 0.25, 0.58, 0.74, lights)
    car.box(-0.25, 0.25, 0.4, 0.52, car.color((225, 220, 190)))


def draw_truck(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """A truck: a tall load behind or above a cab with one wide window."""
    plain = dice.of(((200, 195, 185), (60, 90, 140), (150, 110, 60), (90, 110, 90)))
    truck = Actor(canvas, view, dice, wardrobe.coat("truck", dice, plain, 18), place)
    glass, tyre, dark = truck.color(_GLASS), truck.color(_TYRE, 4), truck.color((70, 70, 72))
    if dice.chance(0.4):
        truck.shadow(3.6)
        truck.box(-3.5, 1.6, 0.9, 3.3, truck.body)
        truck.box(-3.5, 3.2, 0.5, 0.9, dark)
        truck.box(1.7, 3.2, 0.6, 2.5, truck.color((175, 60, 50), 40))
        truck.box(2.3, 3.1, 1.5, 2.3, glass)
        for along in (-2.6, -1.7, 2.4):
            truck.disc(along, 0.48, 0.48, tyre)
        return
    truck.shadow(1.5)
    for along in (-1.1, 0.7):
        truck.box(along, along + 0.4, 0, 0.9, tyre)
    truck.box(-1.25, 1.25, 0.6, 3.5, truck.body)
    if dice.chance(0.5):
        truck.box(-1.05, 1.05, 1.5, 2.3, glass)
        truck.box(-1.2, 1.2, 0.5, 0.8, dark)
    else:
        truck.box(-0.03, 0.03, 0.9, 3.4, dark)
        truck.box(-1.25, 1.25, 0.5, 0.75, dark)


def draw_bus(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """A bus: bands of windows and a lit sign on the forehead."""
    plain = dice.of(((190, 45, 40), (225, 180, 60), (70, 120, 160), (215, 215, 210)))
    bus = Actor(canvas, view, dice, wardrobe.coat("bus", dice, plain, 15), place)
    glass, tyre = bus.color(_GLASS), bus.color(_TYRE, 4)
    if dice.chance(0.4):
        bus.shadow(5)
        bus.box(-5, 5, 0.35, 3.0, bus.body)
        for number in range(6):
            bus.box(-4.8 + 1.6 * number, -3.5 + 1.6 * number, 1.5, 2.5, glass)
        for along in (-3.2, 3.0):
            bus.disc(along, 0.5, 0.5, tyre)
        return
    bus.shadow(1.5)
    for along in (-1.15, 0.8):
        bus.box(along, along + 0.35, 0, 0.6, tyre)
    bus.box(-1.28, 1.28, 0.35, 3.1, bus.body)
    bus.box(-1.12, 1.12, 1.25, 2.5, glass)
    bus.box(-0.8, 0.8, 2.65, 2.95, bus.color((245, 190, 70)))


def draw_train(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """A tram: rounded, two-coloured, without wheels to be seen, under a wire."""
    plain = dice.of(((225, 220, 200), (90, 150, 120), (215, 200, 90)))
    train = Actor(canvas, view, dice, wardrobe.coat("train", dice, plain, 12), place)
    glass, band = train.color(_GLASS), train.color((140, 35, 60), 15)
    train.shadow(1.6)
    half, windows = (8.0, 8) if dice.chance(0.4) else (1.25, 1)
    train.box(-half, half, 0.15, 3.2, train.body)
    train.taper((-half, half), (-0.8 * half, 0.8 * half), 3.2, 3.6, train.body)
    train.box(-half, half, 0.15, 1.2, band)
    bay = 2 * half / windows
    for number in range(windows):
        left = -half + bay * number
        train.box(left + 0.1 * bay, left + 0.9 * bay, 1.5, 2.8, glass)
    train.box(-0.06, 0.06, 3.6, 5.0, train.color((60, 60, 60)))


def draw_person(canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place) -> None:
    """Someone who walks or stands."""
    person = Actor(canvas, view, dice, wardrobe.coat("person", dice, dice.of(_CLOTHES), 25), place)
    person.shadow(0.45)
    person.scale *= dice.between(0.6, 1.08)  # children too
    stride = dice.between(0.02, 0.3)
    legs = person.color(dice.of(((45, 50, 75), (60, 55, 50), (95, 90, 80))))
    for way in (-1, 1):
        foot = 0.08 * way + stride * way
        lower = (foot - 0.08, foot + 0.08)
        person.taper(lower, (0.09 * way - 0.1, 0.09 * way + 0.1), 0, 0.9, legs)
    _torso(person, dice, 0.85, 0.26)


def draw_two_wheeler(
    canvas: Canvas, view: View, dice: Dice, wardrobe: Wardrobe, place: Place
) -> None:
    """A bicycle or a motorcycle, mostly with a rider, who is another thing of another class."""
    motor = dice.chance(0.45)
    kind, plain = ("motorcycle", (110, 30, 30)) if motor else ("bicycle", (50, 90, 110))
    machine = Actor(canvas, view, dice, wardrobe.coat(kind, dice, plain, 40), place)
    machine.shadow(0.8)
    tyre = machine.color(_TYRE, 6)
    sideways = dice.chance(0.6)
    if sideways:
        for along in (-0.55, 0.55):
            machine.disc(along, 0.34, 0.34, tyre, hole=0.45 if motor else 0.72)
    else:
        machine.box(-0.09, 0.09, 0, 0.7, tyre)
    if motor:
        reach = 0.6 if sideways else 0.25
        machine.taper((-0.8 * reach, 0.8 * reach), (-reach, reach), 0.3, 0.95, machine.body)
        machine.disc(reach, 0.8, 0.12, machine.color((240, 230, 180)))
    elif sideways:
        machine.taper((-0.12, 0.12), (-0.45, 0.45), 0.3, 0.75, machine.body)
        machine.box(-0.5, 0.5, 0.75, 0.83, machine.body)
        machine.box(0.4, 0.48, 0.4, 1.05, machine.body)
    machine.box(-0.3, 0.3, 0.98, 1.05, tyre)
    if dice.chance(0.75):
        coat = wardrobe.coat("rider", dice, dice.of(_CLOTHES), 25)
        rider = Actor(canvas, view, dice, coat, place)
        legs = rider.color((55, 55, 65))
        for way in (-1, 1):
            rider.taper((0.2 * way - 0.07, 0.2 * way + 0.07), (-0.1, 0.1), 0.3, 0.95, legs)
        _torso(rider, dice, 0.88, 0.27)
        if dice.chance(0.7):
            helmet = rider.color(dice.of(((220, 220, 220), (200, 40, 40), (30, 30, 35))))
            rider.taper((-0.15, 0.15), (-0.1, 0.1), 1.56, 1.74, helmet)


def _torso(body: Actor, dice: Dice, waist: float, half: float) -> None:
    """Upper body, arms and head above `waist`."""
    body.taper((-0.7 * half, 0.7 * half), (-half, half), waist, waist + 0.6, body.body)
    swing = dice.between(0.0, 0.15)
    for way in (-1, 1):
        hand, shoulder = half * way + swing * way, half * way
        lower, upper = (hand - 0.05, hand + 0.05), (shoulder - 0.06, shoulder + 0.06)
        body.taper(lower, upper, waist + 0.05, waist + 0.55, body.body)
    body.disc(0, waist + 0.74, 0.125, body.color(dice.of(_SKIN)))
