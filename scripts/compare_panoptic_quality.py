"""Compares what panoptic quality costs with hotcoco's evaluation of the same files.

    python scripts/compare_panoptic_quality.py         # 100 images of 1024x2048
    python scripts/compare_panoptic_quality.py 12      # so many

Truth is drawn: streets of the built-in scenes. Predictions are these with ragged borders and with
holes, so that there are as many runs of equal pixels as networks make. Both are written in COCO's
panoptic format and read back. hotcoco (of the extra `dev`) reads PNG files while it evaluates, so
that the metric is timed with and without reading them.
One thread, CPU times, in turns. Ends with an error where they disagree.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segsuite.data.panoptic_files import (
    PanopticImage,
    maps_of_segments,
    read_panoptic_json,
    read_segments,
    segments_of_maps,
    write_panoptic_json,
    write_panoptic_png,
)
from segsuite.data.scenes.kinds import class_table
from segsuite.data.scenes.street import draw_street
from segsuite.measure.latency import Latency, ratio
from segsuite.measure.machine import machine, shown
from segsuite.metrics.panoptic_quality import PanopticQuality

SIZE = (1024, 2048)
CLASSES = class_table(19)
ROUNDS = 6

Maps = tuple[NDArray[np.integer], NDArray[np.integer]]
"""Classes and instances."""


def ragged(maps: Maps, random: np.random.Generator) -> Maps:
    """As if found: each pixel is one from some pixels away, and one in fifty is void."""
    height, width = maps[0].shape
    moved = random.normal(size=(2, height, width)).astype(np.float32)
    down, right = (3 * cv2.GaussianBlur(each, (0, 0), 1) for each in moved)
    rows = (np.arange(height)[:, None] + 3 * down).round().astype(int).clip(0, height - 1)
    columns = (np.arange(width) + 3 * right).round().astype(int).clip(0, width - 1)
    labels, instances = (each[rows, columns] for each in maps)
    return np.where(random.random(labels.shape) < 0.02, -1, labels), instances


def written(folder: Path, count: int) -> tuple[Path, Path]:
    """The JSON files of truth and of predictions."""
    random = np.random.default_rng(0)
    entries: dict[str, list[PanopticImage]] = {"truth": [], "results": []}
    for number in range(count):
        street = draw_street(SIZE, len(CLASSES), (0, number))
        truth = (street.labels(), street.instances())
        for name, maps in (("truth", truth), ("results", ragged(truth, random))):
            ids, segments = segments_of_maps(*maps, CLASSES, crowds=name == "truth")
            entries[name].append(PanopticImage(number, f"{number}.png", segments))
            write_panoptic_png(folder / name / f"{number}.png", ids)
    sizes = dict.fromkeys(range(count), SIZE)
    for name, images in entries.items():
        write_panoptic_json(folder / f"{name}.json", images, CLASSES, sizes=sizes)
    return folder / "truth.json", folder / "results.json"


def read(path: Path) -> list[Maps]:
    """The panoptic maps of a JSON file and its folder."""
    file = read_panoptic_json(path)
    return [
        maps_of_segments(read_segments(path.with_suffix(""), image, file), image.segments, CLASSES)
        for image in file.images.values()
    ]


def counted(found: list[Maps], truth: list[Maps]) -> dict[str, float]:
    """By the metric of the suite."""
    metric = PanopticQuality(num_classes=len(CLASSES), things=CLASSES.things)
    for answer, right in zip(found, truth, strict=True):
        metric.update(*map(torch.from_numpy, (*answer, *right)))
    return {name: float(value) for name, value in metric.compute().summary().items()}


def judged(truth: Path, results: Path) -> float:
    """PQ of all classes by hotcoco."""
    from hotcoco.panoptic import PanopticEval

    judge = PanopticEval(str(truth), str(results))
    judge.evaluate()
    return judge.results()["All"]["pq"]


def seconds(work: Callable[[], object]) -> float:
    """Of CPU."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main(count: int) -> None:
    """Prints seconds of CPU and the ratios."""
    os.environ["RAYON_NUM_THREADS"] = "1"  # hotcoco's, which it reads at its first work
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), count)
        truth, found = map(read, files)
        runs = sum(int((np.diff(maps[0]) != 0).sum()) for maps in found) / count
        ways = {
            "hotcoco, files": lambda: judged(*files),
            "the metric": lambda: counted(found, truth),
            "the metric, files": lambda: counted(*map(read, reversed(files))),
        }
        difference = abs(judged(*files) - counted(found, truth)["pq"])
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                taken[name].append(seconds(way))
    print(f"{count} images of {SIZE[0]}x{SIZE[1]}, {runs:,.0f} runs of equal classes in each")
    times = {name: Latency(tuple(each)) for name, each in taken.items()}
    first = times["hotcoco, files"]
    for name, each in times.items():
        cost = ratio(each, first)  # hotcoco is so many times as fast: this costs as many times
        print(
            f"{name}: {1e3 * each.median / count:.1f} ms an image, {cost.median:.2f} "
            f"({cost.low:.2f} to {cost.high:.2f}) times what hotcoco takes"
        )
    print(shown(machine(torch.device("cpu"))))
    sys.exit(f"PQ differs by {difference}" if difference > 1e-9 else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
