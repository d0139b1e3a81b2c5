"""The same validation images as several trainings saw them, small enough to be part of a page."""

import base64
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segsuite.engine.callbacks.images import PANELS
from segsuite.reporting.training import Training

_BYTES = 9_000_000
"""Of all images of a page, as base64."""
_WIDTH = 320  # pixels of one panel
_ALIKE = ("image", "truth")
"""Panels that do not depend on the network."""
_SHEET = re.compile(r"\d+_.+\.png")


@dataclass(frozen=True)
class Drawn:
    """One panel: what it shows, and the file as a `data:` address."""

    caption: str
    source: str


@dataclass(frozen=True)
class SameImage:
    """One image of the validation data.

    Attributes:
        name: of the image, with the data set in front where trainings of several are compared.
        given: the image itself and its truth.
        predictions: by the name of the training, what it predicted and which tokens it kept.
        legend: the colours of classes, of the first training.
    """

    name: str
    given: list[Drawn]
    predictions: dict[str, list[Drawn]]
    legend: Drawn | None


def same_images(
    trainings: Sequence[Training], *, most: int, tell: Callable[[str], None]
) -> list[SameImage]:
    """The newest images of the trainings, image by image.

    Args:
        trainings: in the order in which they are kept where not all have room.
        most: how many of them may have images.
        tell: hears how many are left out.
    """
    with_images = [t for t in trainings if any((t.folder / "images").glob("*.png"))]
    found: dict[str, SameImage] = {}
    several = len({training.data for training in trainings}) > 1
    left, shown = _BYTES, 0
    for training in with_images[:most]:
        if left <= 0:
            break
        shown += 1
        for path in _newest(training.folder / "images"):
            try:
                data = f"{training.data}, " if several else ""
                left -= _take_apart(path, training.name, data, found)
            except (OSError, ValueError, KeyError, TypeError) as error:
                tell(f"{path} cannot be shown: {error}")
    if shown < len(with_images):
        tell(f"images of {shown} of {len(with_images)} trainings are shown (images={most})")
    return [found[name] for name in sorted(found)]


def _newest(folder: Path) -> Iterable[Path]:
    """Of each image, the sheet of the last iteration at which it was drawn."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.glob("*.png")):  # by iteration
        if _SHEET.match(path.name):
            newest[_image_of(path)] = path
    return newest.values()


def _image_of(path: Path) -> str:
    """The name of the image in that of a sheet, behind the iteration."""
    return path.stem.partition("_")[2]


def _take_apart(path: Path, training: str, data: str, found: dict[str, SameImage]) -> int:
    """Adds a sheet's panels to those of its image; how many characters they take."""
    with Image.open(path) as sheet:
        told = json.loads(sheet.info[PANELS]) if PANELS in sheet.info else None
        if told is None:  # of a training before sheets said what stands where
            name, panels = data + _image_of(path), [Drawn("", _encoded(sheet, 3 * _WIDTH))]
            known = found.setdefault(name, SameImage(name, [], {}, None))
            known.predictions[training] = panels
            return sum(len(panel.source) for panel in panels)
        boxes = {panel["caption"]: panel["box"] for panel in told["panels"]}
        name, taken = data + str(told["image"]), 0
        if name not in found:
            given = [Drawn(c, _encoded(sheet.crop(boxes[c]))) for c in _ALIKE if c in boxes]
            found[name] = SameImage(name, given, {}, _legend(sheet, boxes.values()))
            taken += sum(len(panel.source) for panel in given)
        own = [c for c in boxes if c not in _ALIKE]
        drawn = [Drawn(caption, _encoded(sheet.crop(boxes[caption]))) for caption in own]
        found[name].predictions[training] = drawn
        return taken + sum(len(panel.source) for panel in drawn)


def _legend(sheet: Image.Image, boxes: Iterable[Sequence[int]]) -> Drawn | None:
    """What stands below the panels."""
    below = max(box[3] for box in boxes)
    if below >= sheet.height - 4:
        return None
    return Drawn("classes", _encoded(sheet.crop((0, below, sheet.width, sheet.height)), 3 * _WIDTH))


def _encoded(image: Image.Image, width: int = _WIDTH) -> str:
    """As WebP; no wider than `width`."""
    image = image.convert("RGB")
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))))
    written = io.BytesIO()
    image.save(written, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode()
