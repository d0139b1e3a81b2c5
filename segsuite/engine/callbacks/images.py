"""What the network sees, says and drops, as PNG files."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning import Callback, LightningModule, Trainer
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from segsuite.core.files import written_whole
from segsuite.core.hints import Between
from segsuite.data.class_table import ClassTable
from segsuite.data.samples import Batch
from segsuite.engine.callbacks.panels import (
    Box,
    Panel,
    contact_sheet,
    image_panel,
    label_panel,
    token_panels,
)
from segsuite.engine.inference.legend import legend, with_below
from segsuite.engine.loggers.opened import log_image, log_masks, shows_images
from segsuite.nn.segmenter import Prediction
from segsuite.nn.token_trace import TokenTrace

PANELS = "segsuite:panels"
"""The text chunk of the PNG files that says which image they show, and where each panel stands."""


class PredictionImages(Callback):
    """At every validation: image, truth, prediction, shared patches, tokens left at each head.

    A run without a validation draws them in its final evaluation. Below them are the colours and
    names of the classes that are in truth or prediction. Loggers get them as `images/<n>`; those
    that can, truth and prediction over the image as `masks/<n>`, and the tokens alone as
    `tokens/<n>`.

    Args:
        folder: where `<iteration>_<image>.png` go.
        count: how many images, spread evenly over the split, the same ones at each validation;
            over those of the first process, of which each process has every n-th.
    """

    def __init__(self, *, folder: str, count: Annotated[int, Between(0)] = 4) -> None:
        self.folder, self.count = Path(folder), count
        self._drawing = False
        self._drawn = self._batch_size = 0
        self._batches: int | float = 0
        self._chosen: set[int] = set()
        self._newest: Path | None = None
        self._panels: list[str] = []

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer.num_val_batches, drawing=trainer.state.fn == "fit")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        drawn_before = any(self.folder.glob("*.png"))  # in this start of the run or an earlier one
        self._begin(trainer.num_test_batches, drawing=not drawn_before)

    def _begin(self, batches: Sequence[int | float], *, drawing: bool) -> None:
        self._drawing, self._batches = drawing, sum(batches)
        self._drawn = self._batch_size = 0

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        if not self._drawing or not trainer.is_global_zero:
            return
        if not self._batch_size:  # of the first batch; the last may be smaller
            self._batch_size = len(batch["id"])
            self._chosen = spread(self.count, self._batches, self._batch_size)
        first = batch_idx * self._batch_size
        for index in range(len(batch["id"])):
            if first + index not in self._chosen:
                continue
            path = self.folder / f"{trainer.global_step:07d}_{_file_name(batch['id'][index])}.png"
            self._show(trainer, look(pl_module, batch, index), path)

    def _show(self, trainer: Trainer, seen: "Seen", path: Path) -> None:
        self._panels = draw(seen, path)
        log_image(trainer, f"images/{self._drawn}", path)
        masks = {"truth": seen.truth.numpy(), "prediction": seen.predicted.numpy()}
        pixels = image_panel("", seen.image).pixels
        log_masks(trainer, f"masks/{self._drawn}", pixels, masks, seen.classes.names)
        if seen.trace is not None and any(map(shows_images, trainer.loggers)):
            tokens = draw_tokens(seen.image, seen.trace, path.parent / "tokens" / path.name)
            log_image(trainer, f"tokens/{self._drawn}", tokens)
        self._drawn += 1
        self._newest = path

    on_test_batch_end = on_validation_batch_end

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawing and self._newest is not None:
            print(f"image ({', '.join(self._panels)}): {self._newest}", flush=True)

    on_test_end = on_fit_end


def spread(count: int, batches: int | float, batch_size: int) -> set[int]:
    """Numbers of `count` images in even steps over so many batches; of all, where they are fewer.

    Args:
        batch_size: images in the first batch; the last of several is known to hold one image, no
            more.
    """
    if math.isinf(batches):
        return set(range(count))
    sure = batch_size if batches == 1 else (batches - 1) * batch_size + 1
    if count >= sure:
        return set(range(count))
    return {(2 * k + 1) * sure // (2 * count) for k in range(count)}


@dataclass(frozen=True)
class Seen:
    """One image of an evaluation batch, and what the network says of it.

    Attributes:
        name: of the image.
        image: (3, h, w), 0..255
        truth, predicted: (H, W), class ids
        trace: which tokens were kept; None of networks without, and of images seen in windows.
        more: what else the task has to show.
    """

    name: str
    image: Tensor
    truth: Tensor
    predicted: Tensor
    trace: TokenTrace | None
    classes: ClassTable
    more: Sequence[Panel] = ()


def look(pl_module: LightningModule, batch: Batch, index: int) -> Seen:
    """Lets the network run on one image of an evaluation batch alone once more."""
    keys = (key for key in ("image", "label", "instances", "id") if key in batch)
    one: Batch = {key: [batch[key][index]] for key in keys}
    seen: list[Prediction] = []  # one of the whole image, or none where it is seen in windows
    with torch.no_grad():
        (predicted,) = pl_module.predicted_labels(one, watch=lambda p, members: seen.append(p))
    traces = [prediction.trace for prediction in seen if prediction.trace is not None]
    return Seen(
        name=str(batch["id"][index]),
        image=one["image"][0].cpu(),
        truth=one["label"][0].cpu(),
        predicted=predicted.cpu(),
        trace=traces[0] if traces else None,
        classes=pl_module.classes,
        more=pl_module.panels(one),
    )


def draw(seen: Seen, path: Path) -> list[str]:
    """Draws all of it on one sheet.

    Returns:
        What is in it, from left to right, in words.
    """
    colors = seen.classes.colors
    panels = [
        image_panel("image", seen.image),
        label_panel("truth", seen.truth, colors),
        label_panel("prediction", seen.predicted, colors),
    ]
    if seen.trace is not None:
        panels += token_panels(seen.image, seen.trace)
    panels += seen.more
    sheet, boxes = contact_sheet(panels)
    labels = torch.cat([seen.truth.ravel(), seen.predicted.ravel()])
    strip = legend(seen.classes, labels[labels >= 0].unique().tolist(), sheet.size[::-1])
    with written_whole(path) as beside:
        with_below(sheet, strip).save(beside, pnginfo=_told(seen.name, panels, boxes))
    tokens = ["tokens"] if seen.trace is not None else []
    return ["image", "truth", "prediction", *tokens, *(panel.caption for panel in seen.more)]


def draw_tokens(image: Tensor, trace: TokenTrace, path: Path) -> Path:
    """Draws what became of the image's patches, if anything did; the path."""
    panels = token_panels(image, trace) or [image_panel("every patch is a token", image)]
    with written_whole(path) as beside:
        contact_sheet(panels)[0].save(beside)
    return path


def _told(image: str, panels: Sequence[Panel], boxes: Sequence[Box]) -> PngInfo:
    """What stands where, in the file itself: pages of several runs take the sheets apart."""
    places = [{"caption": p.caption, "box": box} for p, box in zip(panels, boxes, strict=True)]
    info = PngInfo()
    info.add_text(PANELS, json.dumps({"image": image, "panels": places}))
    return info


def _file_name(image: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in str(image))[-80:]
