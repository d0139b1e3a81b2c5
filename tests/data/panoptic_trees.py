"""Made-up trees in the layout of COCO's panoptic archives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.data.class_table import ClassTable
from tests.data.layouts import mask_of, write_image, write_mask

TABLE = ClassTable.load("coco_panoptic133")
SIZE = (12, 16)
PERSON, DOG, SKY, GRASS = 1, 18, 187, 193
ONE, OTHER, CROWD, PET, ABOVE, BELOW = 0x010203, 0xFFFFFF, 256, 65536, 255, 7
"""Ids of segments, which need every channel, and one channel alone."""
KINDS = {ONE: PERSON, OTHER: PERSON, CROWD: PERSON, PET: DOG, ABOVE: SKY, BELOW: GRASS}

Change = Callable[[dict[str, Any]], Any]


def colored(ids: np.ndarray) -> np.ndarray:
    """(H, W, 3) the colours of ids of segments."""
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)


def map_of(*ids: int) -> np.ndarray:
    """Upright stripes of segments."""
    return mask_of([*ids], SIZE, np.int32)


MAPS = {
    1: map_of(0, ONE, OTHER, CROWD, ABOVE, ONE, PET, BELOW),
    2: map_of(ABOVE, BELOW),  # no thing
    3: map_of(PET, PET, 0, CROWD),
}


def content(maps: dict[int, np.ndarray]) -> dict[str, Any]:
    """What the JSON file says of these maps."""
    return {
        "images": [
            {"id": n, "height": SIZE[0], "width": SIZE[1], "file_name": f"{n:012d}.jpg"}
            | {"coco_url": f"http://images/val2017/{n:012d}.jpg", "license": 1}
            for n in maps
        ],
        "annotations": [
            {"image_id": n, "file_name": f"{n:012d}.png", "segments_info": segments(ids)}
            for n, ids in maps.items()
        ],
        "categories": [
            {"id": i, "name": name, "isthing": int(c in TABLE.things), "supercategory": "x"}
            for c, (i, name) in enumerate(zip(TABLE.ids, TABLE.names, strict=True))
        ],
    }


def segments(ids: np.ndarray) -> list[dict[str, Any]]:
    """An image's `segments_info`, in an order that is not that of the ids."""
    numbers, areas = np.unique(ids[ids > 0], return_counts=True)
    pairs = [*zip(numbers.tolist(), areas.tolist(), strict=True)][::-1]
    return [
        {"id": i, "category_id": KINDS[i], "area": area, "bbox": [0, 0, 1, 1]}
        | {"iscrowd": int(i == CROWD)}
        for i, area in pairs
    ]


def write_json(root: Path, split: str, told: dict[str, Any]) -> Path:
    """The annotation file that was written."""
    path = root / f"annotations/panoptic_{split}2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))
    return path


def coco_panoptic(
    root: Path, change: Change | None = None, *, splits: tuple[str, ...] = ("val",)
) -> Path:
    """Images, PNG files and their JSON, which `change` may spoil."""
    for split in splits:
        for number, ids in MAPS.items():
            write_image(root / f"{split}2017/{number:012d}.jpg", SIZE, seed=number)
            write_mask(root / f"panoptic_{split}2017/{number:012d}.png", colored(ids))
        told = content(MAPS)
        if change is not None:
            change(told)
        write_json(root, split, told)
    return root
