"""Annotation files with one or two things wrong: values, types and keys changed, text cut.

    python -m tests.data.damaged_json 1000

reads that many of COCO's and as many of LVIS's kind, each by the reader or the script that the kind
is for, and prints what became of them. The same seed makes the same files.
"""

import copy
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segsuite.core.errors import DataError
from segsuite.data.class_table import ClassTable
from segsuite.data.preparation.annotations import read_annotations, whole
from segsuite.data.preparation.coco_lvis import merged, read_split
from segsuite.data.preparation.rasterise import covered
from segsuite.data.readers.coco_instances import CocoInstances
from tests.data.layouts import write_image

SIZE = (12, 16)
TABLE = ClassTable.load("coco9")
_VALUES = (
    *(None, True, 3, -1, 0, 2.5, 1e300, 10**30, "3", "", "x" * 300, "../../x.jpg", "\ud800"),
    *([1], [], {}, {"id": 1}, [[]], float("nan"), float("inf"), 5, 2**31, 16, 12.0),
)


def valid() -> dict[str, Any]:
    """A file of four images: polygons, several of them, runs as a list and as text."""
    square = [1, 1, 9, 1, 9, 9, 1, 9]
    shapes = [
        [square],
        [square, [10, 2, 15, 2, 15, 11, 10, 11]],
        {"size": [*SIZE], "counts": [96, 96]},
        {"size": [*SIZE], "counts": "P3P3"},
        [[0.5, 0.5, 15.5, 0.5, 8, 11.5]],
    ]
    return {
        "images": [
            {"id": n, "height": SIZE[0], "width": SIZE[1], "file_name": f"{n:012d}.jpg"}
            | {"coco_url": f"http://images/train2017/{n:012d}.jpg"}
            for n in range(1, 5)
        ],
        "annotations": [
            {"id": 10 + n, "image_id": n % 4 + 1, "category_id": (1, 3, 18)[n % 3], "iscrowd": 0}
            | {"segmentation": copy.deepcopy(shapes[n % 5])}
            for n in range(10)
        ],
        "categories": [{"id": i, "name": ""} for i in (1, 2, 3, 4, 6, 7, 8, 13, 14, 18)],
    }


def damaged(seed: int) -> str:
    """The text of a file with something wrong, which may by chance still be right."""
    draw, content = random.Random(seed), valid()
    for _ in range(draw.randint(1, 2)):
        _damage(content, draw)
    text = json.dumps(content)
    if draw.random() < 0.1:
        text = text[: draw.randrange(len(text))]
    elif draw.random() < 0.05:
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice('x{}[]",0') + text[place + 1 :]
    return text


def _damage(content: dict[str, Any], draw: random.Random) -> None:
    places = list(_places(content))
    parent, key = draw.choice(places)
    how = draw.random()
    if how < 0.6:
        parent[key] = copy.deepcopy(draw.choice(_VALUES))
    elif how < 0.75:
        del parent[key]
    elif how < 0.85 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    else:
        other, its = draw.choice(places)
        parent[key] = copy.deepcopy(other[its])


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = node if isinstance(node, dict) else range(len(node))
    for key in list(keys):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def reads_as_coco(root: Path, text: str) -> str | None:
    """What the reader says, None where it takes the file; whatever it takes is drawn too."""
    file = root / "annotations.json"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    reader = CocoInstances(
        annotations=file.name, images="{split}/{id}.jpg", splits={"train": "train2017"}
    )
    try:
        samples = reader.open("train", root=root, classes=TABLE, instances=False, strict=True)
        seen = [samples[index].label for index in range(len(samples))]
    except DataError as error:
        return str(error)
    assert all(label.shape == SIZE and label.min() >= 0 for label in seen)
    given, wanted = json.loads(text)["annotations"], set(TABLE.ids)
    drawn = sum(map(len, samples.regions))
    left = [a for a in given if whole(a["category_id"]) not in wanted]
    # Images without a labelled pixel are left out: what is drawn on them lies on their edge.
    read = read_annotations(file, only=wanted)
    bare = [(n, its) for n, its in read.regions.items() if n not in samples.numbers]
    assert not any(
        covered([r.segmentation for r in regions], read.images[n][1:]) for n, regions in bare
    )
    assert drawn + len(left) + sum(len(its) for _, its in bare) == len(given), (
        "an annotation was lost"
    )
    return None


def reads_as_lvis(root: Path, text: str) -> str | None:
    """As `reads_as_coco`, for the script that merges LVIS and COCO."""
    file = root / "annotations.json"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        split = read_split(file, [])
    except DataError as error:
        return str(error)
    drawn = sum(map(len, split.lvis.values()))
    assert drawn == len(json.loads(text)["annotations"]), "an annotation was lost without a word"
    for number, image in split.images.items():
        if np.prod(image[1:]) < 1e6:
            assert merged(image[1:], split.lvis.get(number, ()), (), "first").shape == image[1:]
    return None


def folder(root: Path) -> Path:
    """The folder with the images that the files are about."""
    for number in range(1, 5):
        write_image(root / "train2017" / f"{number:012d}.jpg", SIZE, seed=number)
    return root


def fates(count: int, reads: Callable[[Path, str], str | None], root: Path) -> Counter[str]:
    """How many files were taken, and how many refused; each refusal names the file.

    Raises:
        AssertionError: one does not, or an annotation was lost.
        Whatever else a file was not refused with.
    """
    found: Counter[str] = Counter()
    for seed in range(count):
        said = reads(root, damaged(seed))
        assert said is None or "annotations.json" in said, f"seed {seed}: {said}"
        found["refused" if said else "taken"] += 1
    return found


def main() -> None:
    """The command line: how many files of each kind."""
    with tempfile.TemporaryDirectory() as made:
        root = folder(Path(made))
        for reads in (reads_as_coco, reads_as_lvis):
            print(reads.__name__, dict(fates(int(sys.argv[1]), reads, root)))


if __name__ == "__main__":
    main()
