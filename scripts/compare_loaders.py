"""Compares how fast training samples are made with mmseg's or Albumentations' pipeline.

    python scripts/compare_loaders.py mmseg data=camvid data.root=CAMVID
    python scripts/compare_loaders.py albumentations data=camvid data.root=CAMVID

All read the same files and make crops of 320x320: scaled by 0.5 to 2, no class above three
quarters (the peers count void as one), flipped, distorted in colour, padded, as tensors of 8 bits;
ours come in batches. One thread, CPU times, in turns. Other data sets may be typed, and nothing
that changes the steps. The peers are no dependency of this suite. Install them with `pip install`,
for mmseg with `--no-deps`: onedl-mmsegmentation==1.4.2 onedl-mmengine==0.10.12 mmcv-lite==2.2.0
addict yapf ftfy prettytable regex termcolor; and for Albumentations: albumentations==2.0.8.
"""

import itertools
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segsuite import api
from segsuite.measure.latency import Latency, ratio
from segsuite.measure.machine import machine, shown

CROP, SCALES, COMMONEST = 320, (0.5, 2.0), 0.75
IMAGES, ROUNDS = 160, 9

Pair = tuple[Path, Path]
"""An image's file and that of its labels."""


def ours(data: Any) -> Iterator[Any]:
    """Batch after batch of the suite's own."""
    while True:
        yield from data.train_dataloader()


def by(make: Callable[[Pair], Any], pairs: Sequence[Pair], batch: int) -> Iterator[Any]:
    """Batches of what a peer's pipeline makes of the files, in random order."""
    order = random.Random(0)
    while True:
        yield [make(order.choice(pairs)) for _ in range(batch)]


def mmseg(size: tuple[int, int]) -> Callable[[Pair], Any]:
    """The pipeline of its configs; (height, width) is the size that scales are of."""
    import mmseg.datasets.transforms  # noqa: F401  (where its transforms are registered)
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope

    init_default_scope("mmseg")
    resize = {"type": "RandomResize", "scale": size[::-1], "ratio_range": SCALES}
    pipeline = Compose(
        [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations"},
            {**resize, "keep_ratio": True},
            {"type": "RandomCrop", "crop_size": (CROP, CROP), "cat_max_ratio": COMMONEST},
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "PhotoMetricDistortion"},
            {"type": "Pad", "size": (CROP, CROP), "pad_val": {"img": 127, "seg": 255}},
            {"type": "PackSegInputs"},
        ]
    )
    fixed = {"reduce_zero_label": False, "label_map": None}
    return lambda pair: pipeline(
        {"img_path": str(pair[0]), "seg_map_path": str(pair[1]), "seg_fields": [], **fixed}
    )


def albumentations(size: tuple[int, int]) -> Callable[[Pair], Any]:
    """Its own transforms, and a crop that is drawn again as mmseg's is."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks a server for its latest version
    import albumentations as A
    from albumentations.pytorch import ToTensorV2

    class BalancedCrop(A.RandomCrop):
        def get_params_dependent_on_data(self, params: Any, data: Any) -> Any:
            for _ in range(11):
                drawn = super().get_params_dependent_on_data(params, data)
                left, top, right, bottom = drawn["crop_coords"]
                counts = np.bincount(data["mask"][top:bottom, left:right].ravel())
                if np.count_nonzero(counts) > 1 and counts.max() < COMMONEST * counts.sum():
                    break
            return drawn

    pipeline = A.Compose(
        [
            A.RandomScale(scale_limit=tuple(s - 1 for s in SCALES), p=1.0),
            A.PadIfNeeded(CROP, CROP),
            BalancedCrop(CROP, CROP),
            A.HorizontalFlip(p=0.5),
            A.RandomBrightnessContrast(brightness_limit=32 / 255, contrast_limit=0.5, p=0.75),
            A.HueSaturationValue(hue_shift_limit=18, sat_shift_limit=64, val_shift_limit=0, p=0.75),
            ToTensorV2(),
        ]
    )

    def make(pair: Pair) -> Any:
        image = cv2.cvtColor(cv2.imread(str(pair[0])), cv2.COLOR_BGR2RGB)
        return pipeline(image=image, mask=cv2.imread(str(pair[1]), cv2.IMREAD_UNCHANGED))

    return make


PEERS = {"mmseg": mmseg, "albumentations": albumentations}


def seconds(batches: Iterator[Any], count: int) -> float:
    """Seconds of CPU that so many batches take."""
    begun = time.process_time()
    for _ in itertools.islice(batches, count):
        pass
    return time.process_time() - begun


def main(peer: str, typed: Sequence[str]) -> None:
    """Prints how long a sample takes with both, and the ratio."""
    allowed = ("data=", "data.root=", "data.reader.", "data.batch_size=")
    if others := [word for word in typed if not word.startswith(allowed)]:
        sys.exit(
            f"{' '.join(others)} might change the work of one side alone; leave it out. "
            f"What may be typed: {' '.join(allowed)}"
        )
    torch.set_num_threads(1)
    config = api.compose(
        "train",
        *("experiment=segvit_vitt", f"data.crop_size=[{CROP},{CROP}]", "data.num_workers=0"),
        *(f"data.train_transform.ratio_range={list(SCALES)}", "data.batch_size=8", *typed),
    )
    data = api.build(config, "data")
    data.setup("fit")
    samples = data.samples("train")
    pairs = [(image, label) for image, label in map(samples.files, range(len(samples)))]
    batch = config.data.batch_size
    if batch > IMAGES:
        sys.exit(f"data.batch_size={batch} is more than the {IMAGES} images of a round")
    size = tuple(samples[0].label.shape)
    loaders = {"segsuite": ours(data), peer: by(PEERS[peer](size), pairs, batch)}
    for loader in loaders.values():
        next(loader)
    taken: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(ROUNDS):
        for name, loader in loaders.items():
            taken[name].append(seconds(loader, IMAGES // batch))
    times = {name: Latency(tuple(each), IMAGES // batch * batch) for name, each in taken.items()}
    for name, each in times.items():
        print(f"{name}: {1e3 / each.images_per_second:.2f} ms of CPU a sample")
    by_rounds = ratio(times[peer], times["segsuite"])
    print(
        f"segsuite is {by_rounds.median:.2f} ({by_rounds.low:.2f} to {by_rounds.high:.2f}, "
        f"{by_rounds.interval}) times as fast as {peer}; {shown(machine(torch.device('cpu')))}"
    )


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PEERS:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
