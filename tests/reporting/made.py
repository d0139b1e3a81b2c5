"""Folders of runs as trainings leave them, made in a moment."""

import csv
import json
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segsuite.core.results import Entry, Metric, Record
from segsuite.engine.callbacks.images import PANELS

CLASSES = ("road", "sky", "car, parked")
MACHINE = {"device": "cpu", "processor": "Toy <CPU>", "threads": 1, "torch": "2.14.1"}


def training(
    folder: Path,
    *,
    miou: float | None,
    settings: Mapping[str, Any],
    choices: Mapping[str, str] = {"data": "camvid", "experiment": "cts_vitt"},
    typed: Sequence[str] = (),
    steps: int = 20,
    image: bool = True,
    **own: Any,
) -> Path:
    """A training of three validations; not finished where `miou` is None."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(dict(settings)))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(typed)))
    runtime = {"hydra": {"runtime": {"choices": dict(choices)}}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(runtime))
    start = {"command": ["python", "-m", "segsuite.train", *typed], "git": None}
    noted = {"id": "0", "goes_on_from": "checkpoints/last.ckpt", "starts": [start]}
    (folder / "run.json").write_text(json.dumps(noted))
    if miou is None:
        return folder
    _rows(folder / "metrics.csv", ["step", "train/loss", "val/miou"], curve(miou, steps))
    ious = [miou, miou / 2, ""]
    _rows(
        folder / "classes.csv",
        ["class", "iou", "accuracy", "pixels"],
        zip(CLASSES, ious, ious, (5, 5, 0), strict=True),
    )
    right = 0 if isnan(miou) else round(100 * miou)
    _rows(
        folder / "confusion.csv",
        ["labelled as", *CLASSES],
        [
            [CLASSES[0], right, 100 - right, 0],
            [CLASSES[1], 50, 50, 0],
            [CLASSES[2], 0, 0, 0],
        ],
    )
    if image:
        sheet(folder / "images" / "0000020_street_1.png", shade=right)
    metrics = {"test/miou": miou, "test/pacc": miou, "parameters": 2e6, "gmacs": 1 + miou}
    files = {"checkpoint": str(folder / "checkpoints" / "best.ckpt")}
    size = {"size": [64, 96]}
    entry = Entry(
        name="toy",
        settings=size,
        artefacts=files,
        metrics={n: Metric(value=v) for n, v in metrics.items()},
    )
    own = {"optimized_metric": "test/miou", "steps": steps, "test": "validation score"} | own
    recorded(folder, "train", [entry], **own)
    return folder


def recorded(folder: Path, kind: str, entries: Sequence[Entry], **own: Any) -> Path:
    """The result of any entry point."""
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(kind=kind, name=kind, config=[], machine=MACHINE, commit=None, entries=entries)
    (folder / "result.json").write_text(json.dumps({**own, "record": record.to_dict()}))
    return folder


def curve(miou: float, steps: int) -> list[tuple[int, float, float | str]]:
    return [(n, 2 - n / steps, miou * n / steps if n % 5 == 0 else "") for n in range(1, steps + 1)]


def sheet(path: Path, *, shade: int) -> None:
    path.parent.mkdir(parents=True)
    pixels = np.full((30, 90, 3), shade, np.uint8)
    places = [{"caption": c, "box": [30 * n, 0, 30 * n + 30, 20]} for n, c in enumerate(PLACES)]
    info = PngInfo()
    info.add_text(PANELS, json.dumps({"image": "street_1", "panels": places}))
    Image.fromarray(pixels).save(path, pnginfo=info)


PLACES = ("image", "truth", "prediction")


def _rows(path: Path, head: Sequence[str], rows: Any) -> None:
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows([head, *rows])


def sweep(
    folder: Path, *, seeds: Sequence[int] = (0, 1), windows: Sequence[Any] = (0, 0.3)
) -> Path:
    """Trainings of each value and seed; their mIoU says which they are."""
    for n, window in enumerate(windows):
        for seed in seeds:
            key = f"windows={n},seed={seed}"
            training(
                folder / f"{key}-{n:05x}{seed:05x}",
                miou=0.4 + 0.1 * n + 0.02 * seed,
                settings={"seed": seed, "data": {"seed": "${seed}"}, "method": {"windows": window}},
                typed=[f"method.windows={window}", f"seed={seed}"],
            )
    return folder
