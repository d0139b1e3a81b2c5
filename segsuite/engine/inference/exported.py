"""An exported ONNX file in the place of a checkpoint, to predict with and to be compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segsuite.core.errors import ConfigError
from segsuite.core.sizes import Size

if TYPE_CHECKING:
    from torch import Tensor

    from segsuite.engine.inference.answers import Answer

_OF_CHECKPOINTS = ("inference", "method", "data")
"""Parts of a checkpoint's config; a file has none of them."""


def is_exported(path: str | Path | None) -> bool:
    """Whether it is an ONNX file by its name."""
    return Path(str(path)).suffix.lower() == ".onnx"


def config_to_predict(arguments: list[str]) -> list[str]:
    """As `rebuild.config_from_checkpoint`, unless it is an ONNX file that is to predict.

    Raises:
        ConfigError: no single ckpt_path was given, or something was typed that such a file lacks.
        CheckpointError: the file is not one of ours.
    """
    from segsuite.engine.launch.rebuild import config_from_checkpoint

    typed = [argument.lstrip("+~") for argument in arguments if "=" in argument]
    paths = [o.partition("=")[2].strip("'\"") for o in typed if o.startswith("ckpt_path=")]
    if len(paths) != 1 or not is_exported(paths[0]):
        return config_from_checkpoint(arguments)
    for override in typed:
        if override.partition("=")[0].replace("/", ".").split(".")[0] in _OF_CHECKPOINTS:
            raise ConfigError(
                f"{override} would change nothing: an exported file has all of this in it, as it "
                "was when it was exported, and takes each image stretched to its own size; give "
                "the checkpoint that it was exported from instead, ckpt_path=FILE.ckpt, or export "
                "that again with what is typed here"
            )
    return arguments


class ExportedPredictor:
    """Labels images by ONNX Runtime on the CPU; no network is built.

    Args:
        threads: threads of one operator; 0 leaves the choice to ONNX Runtime.

    Attributes:
        about: what the file says of itself.
        classes: what the labels are numbers of.
        device: the CPU.
        white: none: of 16-bit images 65535 is white.

    Raises:
        CheckpointError: the file cannot be run, or does not say what its classes are.
        ConfigError: another device was asked for.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, *, device: str = "auto", threads: int = 0) -> None:
        import torch

        from segsuite.runtime.onnx_model import OnnxModel

        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"device={device}: an ONNX file is run on the CPU here; leave device out, or give "
                "the checkpoint that it was exported from"
            )
        self._model = OnnxModel(path, threads=threads)
        self.about = self._model.description
        self.classes, self.device = self.about.classes, torch.device("cpu")
        self.white = None
        self._dtype = torch.int16 if len(self.classes) < 2**15 else torch.int32

    def shown(self, image: "Tensor") -> "Tensor":
        """The image: the file stretches it to its own size.

        Shapes: image (3, H, W) uint8
        """
        return image

    def labels(self, shown: "Sequence[Tensor]", sizes: "Sequence[Size]") -> "list[Tensor]":
        """Class numbers (H, W) of each image at its size, in a narrow integer type."""
        import torch

        arrays = (
            self._model.labels(image.permute(1, 2, 0).contiguous().numpy(), size)
            for image, size in zip(shown, sizes, strict=True)
        )
        return [torch.from_numpy(labels).to(self._dtype) for labels in arrays]

    def answers(self, shown: "Sequence[Tensor]", sizes: "Sequence[Size]") -> "list[Answer]":
        """What is said of each image at its size: labels, and segments if the file knows them."""
        import torch

        from segsuite.engine.inference.answers import Answer, Segments

        answers = []
        for image, size in zip(shown, sizes, strict=True):
            pixels = image.permute(1, 2, 0).contiguous().numpy()
            labels, found = self._model.answer(pixels, size)
            segments = found and Segments(
                torch.from_numpy(found.labels).to(self._dtype),
                *map(torch.from_numpy, (found.instances, *found.table)),
            )
            answers.append(Answer(torch.from_numpy(labels).to(self._dtype), segments))
        return answers

    @property
    def tells_apart(self) -> bool:
        """Whether it gives segments beside labels."""
        return self.about.stuff_area is not None

    def labels_as_given(self, images: "Tensor", size: "Size | None" = None) -> "Tensor":
        """Class numbers of images that have the file's own size, one image after another.

        Args:
            size: size of the labels; the images' when None.

        Shapes: images (B, 3, H, W) uint8 -> (B, *size)
        """
        import torch

        from segsuite.runtime.onnx_model import nearest

        answers = (self._model.labels_as_given(image[None].numpy()) for image in images)
        return torch.stack(
            [torch.from_numpy(nearest(labels, size or labels.shape)) for labels in answers]
        )
