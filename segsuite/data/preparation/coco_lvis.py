"""COCO and LVIS merged: 1,203 classes of LVIS v1, and the stuff of COCO that LVIS lacks.

Source: Jain et al., "Scaling Semantic Segmentation Beyond 1K Classes on a Single GPU" (ICCV 2021),
section 4.1, and its released converter, whose defects are repeated only on request.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segsuite.core.errors import DataError
from segsuite.core.files import write_json, written_whole
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.preparation import jobs
from segsuite.data.preparation.annotations import Annotations, Images, read_annotations
from segsuite.data.preparation.rasterise import Overlap, coco_masks, drawable, painted

LVIS_CLASSES = 1203
_STUFF = range(92, 183)
_OTHER = 183
"""COCO's name for all that is no stuff; not a class here."""

_SHARED = {
    92: 50,  # banner
    93: 110,  # blanket
    98: 181,  # cabinet
    108: 346,  # cupboard
    109: 350,  # curtain
    137: 713,  # napkin
    141: 804,  # pillow
    153: 904,  # salad
    165: 1050,  # table
    168: 1108,  # towel
}
"""Stuff that LVIS has as a thing, by COCO's ids."""

_CASCADED = {93: 1217, 98: 1283}
"""What the released converter makes of blanket and cabinet, by renumbering one array in place."""

_DROPPED_IMAGE = 429995
"""Left out by the released code."""


def stuff_ids(*, paper_compat: bool = False) -> dict[int, int]:
    """The merged id of each stuff category of COCO: an LVIS class, or 1204 and on in order."""
    apart = [category for category in _STUFF if category not in _SHARED]
    merged = {c: LVIS_CLASSES + 1 + place for place, c in enumerate(apart)} | _SHARED
    return merged | (_CASCADED if paper_compat else {})


def lvis_ids() -> dict[int, int]:
    """The merged ids of LVIS's categories: their own."""
    return {number: number for number in range(1, LVIS_CLASSES + 1)}


Regions = Sequence[tuple[int, Any]]
"""(merged id, segmentation) of each, in the file's order."""


@dataclass(frozen=True)
class Split:
    """A split that was read and checked.

    Attributes:
        skipped: number of annotations, or polygons of them, that were left out, by the reason.
    """

    images: Images
    lvis: Mapping[int, Regions]
    stuff: Mapping[int, Regions]
    skipped: Counter[str]


def read_split(
    things: Path, stuff: Sequence[Path], *, strict: bool = True, paper_compat: bool = False
) -> Split:
    """The split's images and the regions to paint on each, in the files' order.

    Args:
        things: LVIS's annotations of the split.
        stuff: COCO's; they may be several, since LVIS mixes its splits.

    Raises:
        DataError: a file is absent, cut short or of another release of LVIS; or, if `strict`, the
            first annotation that does not fit, by its file and id.
    """
    coco_masks()  # said before files of a gigabyte are read
    lvis = read_annotations(things)
    _check_release(lvis)
    images = dict(lvis.images)
    if paper_compat:
        images.pop(_DROPPED_IMAGE, None)
    skipped: Counter[str] = Counter()
    of_things = _fitting(lvis, images, lvis_ids(), skipped, strict)
    of_stuff: dict[int, list[tuple[int, Any]]] = {}
    listed: set[int] = set()
    for path in stuff:
        read = read_annotations(path)
        listed |= read.images.keys()
        fitting = _fitting(read, images, stuff_ids(paper_compat=paper_compat), skipped, strict)
        for number, regions in fitting.items():
            of_stuff.setdefault(number, []).extend(regions)
    unlisted = sorted(images.keys() - listed) if stuff else []
    if unlisted and strict:
        files = " nor ".join(path.name for path in stuff)
        raise DataError(
            f"{things} has {len(unlisted)} images that neither {files} lists, such as "
            f"{unlisted[0]}; are these COCO's 2017 files? To leave their stuff out and count "
            "them, type --no-strict"
        )
    if unlisted:
        skipped["image without stuff"] += len(unlisted)
    return Split(images, of_things, of_stuff, skipped)


def _check_release(lvis: Annotations) -> None:
    """Raises DataError where most ids mean other classes, as those of LVIS v0.5 do."""
    table = ClassTable.load("coco_lvis1284")
    names = dict(zip(table.ids, table.names, strict=True))
    named = {number: name for number, name in lvis.categories.items() if name}
    other = [number for number, name in named.items() if names.get(number) != name]
    if 2 * len(other) > len(named):
        raise DataError(
            f"{lvis.source} is not of LVIS v1: {len(other)} of its {len(named)} categories have "
            f"other names there, such as {other[0]}, `{named[other[0]]}` here and "
            f"`{names.get(other[0], 'none')}` there; give lvis_v1_train.json and lvis_v1_val.json"
        )


def _fitting(
    read: Annotations, images: Images, ids: dict[int, int], skipped: Counter[str], strict: bool
) -> dict[int, list[tuple[int, Any]]]:
    """(merged id, segmentation) of what can be drawn of the annotations, by image."""

    def refuse(kind: str, what: str) -> None:
        if strict:
            raise DataError(f"{what}. To leave out and count what does not fit, type --no-strict")
        skipped[kind] += 1

    for kind, what in read.faults:
        refuse(kind, what)
    regions: dict[int, list[tuple[int, Any]]] = {}
    for image in images.keys() & read.regions.keys():
        size = images[image][1:]
        for region in read.regions[image]:
            where = f"{read.source}: annotation {region.id} of image {image}"
            if region.category not in ids:
                if region.category != _OTHER:
                    known = f"the {len(ids)} known ({min(ids)} to {max(ids)})"
                    wrong = f"{where}: category {region.category} is none of {known}"
                    refuse("unknown category", wrong)
                continue
            kept, faults = drawable(region.segmentation, size)
            for wrong in faults:
                kind = "unfit mask" if isinstance(region.segmentation, dict) else "unfit polygon"
                refuse(kind, f"{where}: {wrong}")
            if kept is not None:
                regions.setdefault(image, []).append((ids[region.category], kept))
    return regions


def merged(size: Size, lvis: Regions, stuff: Regions, overlap: Overlap) -> Any:
    """(H, W) uint16: LVIS where it says something, else COCO's stuff, else 0."""
    things = painted(lvis, size, overlap)
    background = painted(stuff, size, overlap)
    things[things == 0] = background[things == 0]
    return things


def write_split(
    split: Split, name: str, folder: Path, *, overlap: Overlap, workers: int
) -> tuple[int, int]:
    """Writes the masks that are not there yet, then the split's list; (written, there before).

    Files: `folder/train2017/000000000009.png`, where the image is; `folder/NAME.txt` lists them.
    """
    missing = {i: image for i, image in split.images.items() if not _path(folder, image).exists()}
    tasks = (
        (_path(folder, image), image[1:], split.lvis.get(i, ()), split.stuff.get(i, ()), overlap)
        for i, image in missing.items()
    )
    steps = jobs.in_parallel(_write, tasks, workers)
    written = jobs.with_progress(steps, total=len(missing), title=f"{name} masks")
    names = sorted(image[0] for image in split.images.values())
    with written_whole(folder / f"{name}.txt") as beside:
        beside.write_text("".join(f"{name}\n" for name in names))
    return written, len(split.images) - written


def write_index(splits: dict[str, Split], folder: Path) -> None:
    """`index.json`: each image's file, height and width, and what was left out of its split."""
    write_json(
        folder / "index.json",
        {
            "images": {
                str(number): {"path": path, "height": height, "width": width}
                for split in splits.values()
                for number, (path, height, width) in sorted(split.images.items())
            },
            "skipped": {name: dict(split.skipped) for name, split in splits.items()},
        },
    )


def _write(path: Path, *regions: Any) -> None:
    jobs.write_mask(path, merged(*regions))


def _path(folder: Path, image: tuple[str, int, int]) -> Path:
    return folder / f"{image[0]}.png"
