"""Which colour is which class: a strip below an image, of which it covers nothing."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from segsuite.data.class_table import ClassTable

PAPER = (24, 24, 28)
_INK = (235, 235, 235)
_SHARE, _LEAST = 60, 12
"""Letters are a 60th of the image's longer side high, and never smaller than 12 pixels."""


def legend(classes: ClassTable, present: Sequence[int], size: tuple[int, int]) -> Image.Image:
    """The colours and names of those classes, in their order, in as many columns as there is room.

    Args:
        present: numbers of the classes to show.
        size: height and width of the image that it stands below. The strip is as wide, or as wide
            as the longest name where the image is narrow.
    """
    letter = max(_LEAST, max(size) // _SHARE)
    font, gap = ImageFont.load_default(letter), letter // 2
    names = [classes.names[number] for number in present]
    widest = max((round(font.getlength(name)) for name in names), default=0)
    cell = (letter + 3 * gap + widest, letter + gap)
    columns = max(1, min((size[1] - gap) // cell[0], len(names)))
    rows = -(-len(names) // columns)
    width, height = max(size[1], columns * cell[0] + gap), rows * cell[1] + 2 * gap
    strip = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(strip)
    for place, (number, name) in enumerate(zip(present, names, strict=True)):
        column, row = divmod(place, rows)
        left, top = gap + column * cell[0], gap + row * cell[1]
        color, corners = classes.colors[number], (left, top, left + letter - 1, top + letter - 1)
        # Framed, so that dark ones are seen.
        pen.rectangle(corners, fill=tuple(map(int, color)), outline=_INK)
        pen.text((left + letter + gap, top), name, fill=_INK, font=font)
    return strip


def with_below(image: Image.Image, strip: Image.Image) -> Image.Image:
    """Both in one, the strip below; as wide as the wider one."""
    both = Image.new("RGB", (max(image.width, strip.width), image.height + strip.height), PAPER)
    both.paste(image, (0, 0))
    both.paste(strip, (0, image.height))
    return both
