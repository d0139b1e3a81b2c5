"""COCO's stuff and LVIS v1 become masks of 1,284 classes, for data=coco_lvis.

    python scripts/prepare_coco_lvis.py /data/coco --workers 8

expects, as the archives unpack,

    /data/coco/{train2017,val2017}/*.jpg
    /data/coco/annotations/lvis_v1_{train,val}.json          (lvisdataset.org)
    /data/coco/annotations/stuff_{train,val}2017.json        (cocodataset.org)

and writes /data/coco/coco_lvis/{train2017,val2017}/*.png (16 bits), train.txt, val.txt and
index.json. A run that was stopped goes on when the command is typed again. About ten milliseconds
an image and worker; the annotations take a few gigabytes of memory.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from segsuite.core.errors import exit_code
from segsuite.data.preparation import jobs
from segsuite.data.preparation.coco_lvis import (
    read_split,
    write_index,
    write_split,
)
from segsuite.data.preparation.rasterise import Overlap

_SPLITS = ("train", "val")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what went wrong is one paragraph on stderr."""
    given = _parsed(arguments)
    return exit_code(lambda: prepare(given))


def prepare(given: argparse.Namespace) -> None:
    """Writes both splits, and says how many masks were written and what was left out."""
    folder, notes = given.out or given.root / "coco_lvis", given.root / "annotations"
    stuff = [notes / "stuff_train2017.json", notes / "stuff_val2017.json"]
    settings = {
        "overlap": given.overlap,
        "paper_compat": given.paper_compat,
        # What was drawn from other annotations must not stay.
        "sources": jobs.digests([*stuff, *(notes / f"lvis_v1_{s}.json" for s in _SPLITS)]),
    }
    splits = {}
    for name in _SPLITS:
        print(f"reading the annotations of {name} ...", flush=True)
        things = notes / f"lvis_v1_{name}.json"
        split = read_split(things, stuff, strict=given.strict, paper_compat=given.paper_compat)
        jobs.begin(folder, settings)
        written, before = write_split(
            split, name, folder, overlap=given.overlap, workers=given.workers
        )
        print(f"{name}: {written} masks written, {before} were there; left out: {_of(split)}")
        splits[name] = split
    write_index(splits, folder)
    counts = {name: len(split.images) for name, split in splits.items()}
    fewer = given.paper_compat or not given.strict
    shown = ", ".join(f"{name}: {count}" for name, count in counts.items())
    expected = f' "data.reader.expected={{{shown}}}"' if fewer else ""
    print(f"now: python -m segsuite.check_data data=coco_lvis data.root={given.root}{expected}")


def _of(split: object) -> str:
    skipped = split.skipped
    return ", ".join(f"{count} ({kind})" for kind, count in skipped.items()) or "nothing"


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="COCO's folder")
    parser.add_argument("--out", type=Path, help="folder of the masks; ROOT/coco_lvis")
    parser.add_argument("--workers", type=int, default=4, help="processes")
    parser.add_argument(
        "--overlap",
        choices=get_args(Overlap),
        default="first",
        help="whose a pixel of several annotations is; first is the paper's",
    )
    parser.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="stop at what does not fit, instead of leaving it out and counting it",
    )
    parser.add_argument(
        "--paper-compat",
        action="store_true",
        help="repeat the released converter's defects: blanket becomes desk-stuff, cabinet "
        "window-other, and image 429995 is dropped",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
