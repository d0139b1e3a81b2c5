"""COCO-Stuff 10k v1.1's MATLAB files become masks, for data=coco_stuff10k.

    python scripts/prepare_coco_stuff10k.py /data/cocostuff-10k-v1.1 --workers 4

expects images/*.jpg, annotations/*.mat and imageLists/{train,test}.txt, as the archive unpacks, and
writes masks/*.png: COCO id - 1 as in stuffthingmaps, 255 for unlabelled. A run that was stopped
goes on when the command is typed again.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from segsuite.core.errors import exit_code
from segsuite.data.preparation import jobs, matlab


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what went wrong is one paragraph on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="the unpacked folder")
    parser.add_argument("--workers", type=int, default=4, help="processes")
    given = parser.parse_args(arguments)
    return exit_code(lambda: prepare(given.root, given.workers))


def prepare(root: Path, workers: int) -> None:
    """Writes the masks of both lists that are not there yet."""
    names = [
        name
        for split in ("train", "test")
        for name in matlab.read_names(root / "imageLists" / f"{split}.txt")
    ]
    sources = {name: root / "annotations" / f"{name}.mat" for name in names}
    matlab.absent(sources.values())
    jobs.begin(root / "masks", {"ids": "COCO id - 1, 255 for unlabelled"})
    tasks = [
        (source, target)
        for name, source in sources.items()
        if not (target := root / "masks" / f"{name}.png").exists()
    ]
    steps = jobs.in_parallel(partial(matlab.convert, matlab.coco_stuff), tasks, workers)
    written = jobs.with_progress(steps, total=len(tasks), title="masks")
    print(f"{written} masks written, {len(names) - written} were there")
    print(f"now: python -m segsuite.check_data data=coco_stuff10k data.root={root}")


if __name__ == "__main__":
    sys.exit(main())
