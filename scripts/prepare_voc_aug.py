"""Pascal VOC 2012 with SBD's masks: the 10,582 training images of `trainaug`, for data=voc_aug.

    python scripts/prepare_voc_aug.py /data/VOCdevkit/VOC2012 /data/benchmark_RELEASE/dataset

writes, in VOC's folder, SegmentationClassAug/*.png and ImageSets/Segmentation/trainaug.txt:
VOC's training images and both of SBD's splits, without VOC's validation images. Images that
have a mask of VOC keep it: SBD's have no void border. A run that was stopped goes on when the
command is typed again.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from segsuite.core.errors import exit_code
from segsuite.core.files import written_whole
from segsuite.data.preparation import jobs, matlab

KNOWN = 10582


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what went wrong is one paragraph on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("voc", type=Path, help="VOCdevkit/VOC2012")
    parser.add_argument("sbd", type=Path, help="benchmark_RELEASE/dataset")
    parser.add_argument("--workers", type=int, default=4, help="processes")
    given = parser.parse_args(arguments)
    return exit_code(lambda: prepare(given.voc, given.sbd, given.workers))


def prepare(voc: Path, sbd: Path, workers: int) -> None:
    """Writes the masks that are not there yet, then the list."""
    lists, masks = voc / "ImageSets" / "Segmentation", voc / "SegmentationClassAug"
    train, val = (matlab.read_names(lists / f"{split}.txt") for split in ("train", "val"))
    more = {n for split in ("train", "val") for n in matlab.read_names(sbd / f"{split}.txt")}
    chosen = sorted({*train, *more} - set(val))
    own = {name: voc / "SegmentationClass" / f"{name}.png" for name in (*train, *val)}
    sources = {name: sbd / "cls" / f"{name}.mat" for name in chosen if name not in own}
    matlab.absent([*own.values(), *sources.values()])
    jobs.begin(masks, {"ids": "VOC's, its own masks where there are any"})
    for path in own.values():
        if not (masks / path.name).exists():
            with written_whole(masks / path.name) as beside:
                shutil.copyfile(path, beside)
    tasks = [
        (source, target)
        for name, source in sources.items()
        if not (target := masks / f"{name}.png").exists()
    ]
    steps = jobs.in_parallel(partial(matlab.convert, matlab.boundaries), tasks, workers)
    written = jobs.with_progress(steps, total=len(tasks), title="masks")
    with written_whole(lists / "trainaug.txt") as beside:
        beside.write_text("".join(f"{name}\n" for name in chosen))
    print(f"{written} masks written; trainaug has {len(chosen)} images (officially {KNOWN})")
    print(f"now: python -m segsuite.check_data data=voc_aug data.root={voc}")


if __name__ == "__main__":
    sys.exit(main())
