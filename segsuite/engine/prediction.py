"""From picture files to mask files, with a trained network."""

import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from segsuite.core.build import build
from segsuite.core.contract import Segmenter
from segsuite.core.errors import CheckpointError, ConfigError, DataError
from segsuite.core.files import written_whole
from segsuite.core.hints import Between, Share
from segsuite.core.targets import trusted
from segsuite.data.class_table import ClassTable
from segsuite.data.decode import decode_image
from segsuite.data.frames import Faults
from segsuite.data.palette import overlay
from segsuite.data.submission import CityscapesSubmission
from segsuite.engine.inference import Inference
from segsuite.engine.rebuild import network_of
from segsuite.engine.settings import check_values

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def predict(cfg: DictConfig) -> int:
    """Writes a mask and an overlay for every picture; how many there were.

    With a submission also a file in its form, `output/submission/...`.

    Raises:
        ConfigError: no input or output was given.
        DataError: no picture was found, or one of them cannot be decoded.
        CheckpointError: the checkpoint is unreadable, or not of a network that segments.
    """
    if cfg.input is None or cfg.output is None:
        raise ConfigError("give input=PICTURE, FOLDER or 'GLOB', and output=FOLDER")
    check_values(cfg, {"batch_size": Annotated[int, Between(1)], "opacity": Share, "strict": bool})
    paths = pictures(str(cfg.input))
    network, classes, inference, transform = loaded(cfg)
    batches = [paths[i : i + cfg.batch_size] for i in range(0, len(paths), cfg.batch_size)]
    submission = _submission(cfg, classes)
    console = Console(stderr=True)
    faults = Faults(strict=cfg.strict)
    _check_folder(Path(cfg.output))
    for batch in track(batches, "segmenting", console=console):
        for path, image, labels in segmented(batch, network, inference, transform, faults):
            write(Path(cfg.output), path, image, labels, classes, opacity=cfg.opacity)
            if submission is not None:
                folder = Path(cfg.output) / "submission"
                submission.write(folder, path.stem, labels.numpy(), classes)
    if faults.count == len(paths):
        raise DataError(f"input={cfg.input}: nothing could be read; {faults.first}")
    if faults.count:
        console.print(f"skipped {faults.count} that cannot be read, first: {faults.first}")
    return len(paths) - faults.count


def _check_folder(folder: Path) -> None:
    """Raises ConfigError unless it is a folder or can be made one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output={folder} cannot be a folder: {error.strerror}") from error


def loaded(
    cfg: DictConfig,
) -> tuple[Segmenter, ClassTable, Inference, Callable[[Tensor], Tensor]]:
    """The network on its device, its classes, how it is applied, and what pictures go through.

    Raises:
        CheckpointError: the checkpoint is unreadable, or not of a network that segments.
    """
    device = _device(str(cfg.device))
    network, classes = network_of(cfg)
    if not isinstance(network, Segmenter):
        raise CheckpointError(
            f"{cfg.ckpt_path} holds a {type(network).__name__}, which segments no pictures; give "
            "the checkpoint of a network that does"
        )
    inference = build(cfg.inference, path="inference", allow=trusted(cfg))
    return network.to(device), classes, inference, _transform(cfg)


def pictures(given: str) -> list[Path]:
    """The picture, or those of the folder, or those that the glob finds; by name.

    Raises:
        DataError: there is none, or two have one name, so that one mask would replace the other.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return [path]
    candidates = path.iterdir() if path.is_dir() else map(Path, glob.glob(given, recursive=True))
    found = sorted(p for p in candidates if p.suffix.lower() in SUFFIXES)
    if not found:
        what = "no pictures in that folder" if path.is_dir() else "no such file, folder or glob"
        raise DataError(f"input={given}: {what} ({', '.join(SUFFIXES)} are read)")
    stems: dict[str, Path] = {}
    for picture in found:
        if (other := stems.setdefault(picture.stem, picture)) != picture:
            raise DataError(
                f"{other} and {picture} would both become {picture.stem}.png; segment them apart"
            )
    return found


def segmented(
    paths: Sequence[Path],
    network: Segmenter,
    inference: Inference,
    transform: Callable[[Tensor], Tensor],
    faults: Faults,
) -> Iterator[tuple[Path, Tensor, Tensor]]:
    """Each path that can be read, its picture (3, H, W) uint8 and labels (H, W), on the CPU."""
    images = {}
    for path in paths:
        try:
            images[path] = torch.from_numpy(decode_image(path)).permute(2, 0, 1)
        except DataError as error:
            faults.met(str(error))
    if not images:
        return
    device = next(network.parameters()).device
    seen = [transform(image).to(device) for image in images.values()]
    sizes = [tuple(image.shape[-2:]) for image in images.values()]
    with torch.inference_mode():
        found = inference.labels(network, seen, sizes)
    yield from zip(images, images.values(), (labels.cpu() for labels in found), strict=True)


def write(
    folder: Path,
    path: Path,
    image: Tensor,
    labels: Tensor,
    classes: ClassTable,
    *,
    opacity: float,
) -> None:
    """Writes masks/NAME.png, raw ids as in the data set's own files, and overlays/NAME.png."""
    mask = Image.fromarray(classes.raw(labels.numpy()))
    mixed = Image.fromarray(overlay(np.asarray(image), labels.numpy(), classes.colors, opacity))
    for kind, picture in (("masks", mask), ("overlays", mixed)):
        with written_whole(folder / kind / f"{path.stem}.png") as beside:
            picture.save(beside)


def _transform(cfg: DictConfig) -> Callable[[Tensor], Tensor]:
    """What the data set does to pictures before evaluation."""
    if cfg.data.get("eval_transform") is None:
        return lambda image: image
    return build(cfg.data.eval_transform, path="data.eval_transform", allow=trusted(cfg))


def _submission(cfg: DictConfig, classes: ClassTable) -> CityscapesSubmission | None:
    """What writes in a benchmark's form, if that is asked for and the classes are the benchmark's.

    Raises:
        ConfigError: they are others.
    """
    if cfg.get("submission") is None:
        return None
    submission = build(cfg.submission, path="submission", allow=trusted(cfg))
    submission.check(classes)
    return submission


def _device(name: str) -> torch.device:
    """The device of that name; `auto` is a GPU where there is one.

    Raises:
        ConfigError: there is none of that name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # as torch without CUDA puts it
        said = str(error).splitlines()[0]
        raise ConfigError(f"device={name}: {said}; type device=auto, cpu or cuda") from error
