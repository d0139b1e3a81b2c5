"""From image files to mask files, with a trained network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track
from torch import Tensor

from segsuite.core.errors import CheckpointError, ConfigError, DataError
from segsuite.core.hints import Count, Share
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.data.frames import Faults
from segsuite.data.readers.decode import decode_image
from segsuite.data.submission import CityscapesSubmission
from segsuite.engine.inference.answers import Answer, Decision, Grouped, Labelled
from segsuite.engine.inference.cityscapes_files import CityscapesFiles, folders_of
from segsuite.engine.inference.exported import ExportedPredictor, is_exported
from segsuite.engine.inference.framing import size_of
from segsuite.engine.inference.inputs import Source, Sources, images_of, input_and_output
from segsuite.engine.inference.label_files import LabelFiles
from segsuite.engine.inference.modes import Inference
from segsuite.engine.inference.segment_files import SegmentFiles
from segsuite.engine.launch.rebuild import network_of
from segsuite.engine.launch.run import Run
from segsuite.nn.grouping import Grouping
from segsuite.nn.segmenter import Segmenter

_PIXELS = 2**25
"""Pixels from which on no further image is read into a batch: 100 MB of them."""


class NetworkPredictor:
    """A network, and how it is applied to images of any size.

    Args:
        transform: what the data set does to images before evaluation.
        white: what is white in 16-bit images, as in training.
        grouping: tells things apart, of the network's evidence; None where it knows no instances.

    Attributes:
        network: the network, in evaluation mode.
        classes: what the labels are numbers of.
        device: where it works.
        white: as given.
        tells_apart: whether answers have segments.
    """

    def __init__(
        self,
        network: Segmenter,
        classes: ClassTable,
        *,
        inference: Inference,
        transform: Callable[[Tensor], Tensor],
        white: float | None = None,
        grouping: Grouping | None = None,
    ) -> None:
        self.network, self.classes, self.white = network, classes, white
        self.device = next(network.parameters()).device
        self.tells_apart = grouping is not None
        self._inference, self._transform = inference, transform
        fitting = {2**8: torch.uint8, 2**15: torch.int16}
        self._dtype = next((t for most, t in fitting.items() if len(classes) < most), torch.int32)
        kind = {"inference": inference, "dtype": self._dtype}
        self._decision: Decision = (
            Labelled(**kind)
            if grouping is None
            else Grouped(**kind, grouping=grouping, things=classes.things)
        )

    def shown(self, image: Tensor) -> Tensor:
        """What it is shown of an image, on its device.

        Shapes: image (3, H, W) uint8 -> (3, h, w)
        """
        return self._transform(image).to(self.device)

    def labels(self, shown: Sequence[Tensor], sizes: Sequence[Size]) -> list[Tensor]:
        """Class numbers (H, W) of each image at its size, in a narrow integer type, there."""
        with torch.inference_mode():
            return self._inference.labels(self.network, shown, sizes, dtype=self._dtype)

    def answers(self, shown: Sequence[Tensor], sizes: Sequence[Size]) -> list[Answer]:
        """What is said of each image at its size, there: labels, and segments if it knows them."""
        with torch.inference_mode():
            return self._decision(self.network, shown, sizes)


Predictor = NetworkPredictor | ExportedPredictor
"""Labels images."""


@dataclass(frozen=True)
class Predicted:
    """How many images were segmented, and where that is; as text, a line for people."""

    count: int
    folders: tuple[Path, ...]

    def __str__(self) -> str:
        images = "image" if self.count == 1 else "images"
        return f"{self.count} {images} segmented: {', '.join(map(str, self.folders))}"


class SegmentImages:
    """Writes a mask and an overlay for every image, with a trained network.

    Of a network that tells things apart, overlays show its segments with lines around instances,
    and these are written in COCO's format too: `output/panoptic/NAME.png`, `output/panoptic.json`.
    With a submission also files in its form, `output/submission/...`; see `CityscapesFiles`.

    Args:
        input: an image, a folder of images or a glob.
        output: the folder that files are written to.
        batch_size: how many images are segmented together; fewer where they are large.
        opacity: opacity of the classes' colours in overlays.
        legend: whether overlays show the classes that are in them.
        colors: whether masks are also written in the classes' colours.
        strict: whether an image that cannot be read is an error; else it is skipped and counted.
        submission: what writes in a benchmark's form.

    Raises:
        ConfigError: no input or output was given.
    """

    def __init__(
        self,
        *,
        input: Any,
        output: Any,
        batch_size: Count = 8,
        opacity: Share = 0.5,
        legend: bool = True,
        colors: bool = False,
        strict: bool = True,
        submission: CityscapesSubmission | None = None,
    ) -> None:
        wanted = "input=IMAGE, FOLDER or 'GLOB', and output=FOLDER"
        self.given, self.folder = input_and_output(input, output, wanted=wanted)
        self.batch_size, self.submission = batch_size, submission
        self._files = {"opacity": opacity, "legend": legend, "colors": colors}
        self.faults = Faults(strict=strict)

    def __call__(self, load: Callable[[], Predictor], *, white: float | None = None) -> Predicted:
        """Segments all images.

        Args:
            load: gives what labels them, once it is known that there are some.
            white: what is white in 16-bit images.

        Raises:
            DataError: no image was found, or one of them cannot be decoded.
            ConfigError, CheckpointError: what `load` raises, or a submission of other classes.
        """
        folder, faults, console = self.folder, self.faults, Console(stderr=True)
        own = [folder / kind for kind in ("masks", "overlays", "colors", "panoptic")]
        own += folders_of(folder / "submission")
        sources = images_of(self.given, without=[folder, *own])
        predictor = load()
        submitted = None
        if self.submission is not None:
            form = folder / "submission"
            kind = {"trained": predictor.classes, "tells_apart": predictor.tells_apart}
            submitted = CityscapesFiles(form, self.submission, **kind)
            _check_frames(self.submission, sources)
        files = LabelFiles(folder, predictor.classes, **self._files)
        segments = SegmentFiles(folder, predictor.classes, numbered=True)
        _check_folder(folder)

        batches = _batches(sources.images, self.batch_size, faults, white=white)

        def write(answered: tuple[Source, Tensor, Answer]) -> None:
            source, image, answer = answered
            files.write(source.name, image.numpy(), answer)
            if answer.segments is not None:
                segments.write(source.name, answer.segments, photo=source.file)
            if submitted is not None:
                submitted.write(source.path.stem, answer)

        # Not a loop over answers: its names would hold a large image while the next one is read.
        done = map(write, _answers(batches, predictor))
        total = len(sources.images)
        for _ in track(done, "segmenting", total=total, console=console):
            pass
        if faults.count == total:
            raise DataError(f"input={self.given}: nothing could be read; {faults.first}")
        for line in _left_out(sources, faults):
            console.print(line, highlight=False, markup=False)
        segments.finish()
        folders = [folder / kind for kind in (*files.kinds, *segments.kinds)]
        if submitted is not None:
            submitted.finish()
            folders += submitted.folders
        return Predicted(total - faults.count, tuple(folders))


def _left_out(sources: Sources, faults: Faults) -> Iterator[str]:
    """A sentence for each kind of file that was not segmented."""
    if faults.count:
        yield f"skipped {faults.count} that cannot be read, first: {faults.first}"
    if sources.others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sources.others.most_common(5))
        yield f"left out, since their names are not those of images: {kinds}"


def _check_folder(folder: Path) -> None:
    """Raises ConfigError unless it is a folder or can be made one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output={folder} cannot be a folder: {error.strerror}") from error


def loaded(run: Run) -> Predictor:
    """The network of the checkpoint on its device, or an exported file.

    Raises:
        CheckpointError: the checkpoint is unreadable, or not of a network that segments.
    """
    path, name = run.config.ckpt_path, str(run.config.device)
    if is_exported(path):
        return ExportedPredictor(path, device=name)
    device = _device(name)
    network, classes = network_of(run)
    if not isinstance(network, Segmenter):
        raise CheckpointError(
            f"{path} holds a {type(network).__name__}, which segments no images; give "
            "the checkpoint of a network that does"
        )
    # What the data set does to images before evaluation.
    transform = run.build_optional("data.eval_transform") or (lambda image: image)
    return NetworkPredictor(
        network.to(device),
        classes,
        inference=run.build("inference"),
        transform=transform,
        white=white_of(run),
        grouping=run.build_optional("method.task.grouping"),
    )


def _batches(
    sources: Iterable[Source], size: int, faults: Faults, *, white: float | None
) -> Iterator[list[tuple[Source, Tensor]]]:
    """Images that can be read, (3, H, W) uint8 each: `size` of them, fewer if large."""
    batch, pixels = [], 0
    for source in sources:
        try:
            image = torch.from_numpy(decode_image(source.path, white=white))
        except DataError as error:
            faults.met(str(error))
            continue
        # Contiguous here, so that no transform copies it.
        image = image.permute(2, 0, 1).contiguous()
        batch.append((source, image))
        pixels += image[0].numel()
        if len(batch) == size or pixels >= _PIXELS:
            yield batch
            batch, pixels = [], 0
        del image
    if batch:
        yield batch


def _answers(
    batches: Iterable[list[tuple[Source, Tensor]]], predictor: Predictor
) -> Iterator[tuple[Source, Tensor, Answer]]:
    """What is segmented of each image in turn; batches are forgotten as soon as they are done."""
    for batch in batches:
        yield from segmented(batch, predictor)
        batch.clear()


def segmented(
    batch: Sequence[tuple[Source, Tensor]], predictor: Predictor
) -> Iterator[tuple[Source, Tensor, Answer]]:
    """Each image with where it is from and what is said of it, on the CPU."""
    shown = [predictor.shown(image) for _, image in batch]
    answers = predictor.answers(shown, [size_of(image) for _, image in batch])
    del shown
    for (source, image), answer in zip(batch, answers, strict=True):
        yield source, image, answer.cpu()


def white_of(run: Run) -> float | None:
    """What is white in the data set's 16-bit images, as in training."""
    return OmegaConf.select(run.config, "data.reader.white")


def _check_frames(submission: CityscapesSubmission, sources: Sources) -> None:
    """Raises DataError for images that are no frames, or would become one file of a submission."""
    seen: dict[str, Path] = {}
    for path in (source.path for source in sources.images):
        if (other := seen.setdefault(submission.frame(path.stem), path)) != path:
            raise DataError(f"{other} and {path} would become one file of the submission")


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
