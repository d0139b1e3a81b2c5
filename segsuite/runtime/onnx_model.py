"""An exported ONNX file as something that labels images: numpy, Pillow and ONNX Runtime."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import CheckpointError
from segsuite.core.sizes import Size
from segsuite.runtime.description import INPUT, OF_INSTANCES, Description
from segsuite.runtime.panoptic import Panoptic, panoptic_map
from segsuite.runtime.session import first_line, session

_STRIP = 32
"""Rows of a grid's scores that are interpolated at once."""


class OnnxModel:
    """Labels images of any size by a file that takes images of one size.

    Args:
        path: a file that python -m segsuite.export has written.
        threads: threads of one operator; 0 leaves the choice to ONNX Runtime.

    Attributes:
        description: what the file says of itself.

    Raises:
        CheckpointError: there is no such file, ONNX Runtime cannot load it, or it does not say what
            its classes are.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        if not Path(path).is_file():
            raise CheckpointError(f"no ONNX file at {path}; give one that segsuite.export wrote")
        self._session, self._path = session(path, threads=threads), path
        carried = self._session.get_modelmeta().custom_metadata_map
        self.description = Description.from_properties(carried, path)
        self._check_ends()

    def labels(self, image: NDArray[np.uint8], size: Size | None = None) -> NDArray[np.int64]:
        """The class number of each pixel; `description.classes.raw` makes ids of them.

        The image is stretched to the file's size, and each of its pixels gets the label of the
        nearest pixel there, as where `segsuite.export` scores the file; but that resizes by torch,
        and after the data's own transform.

        Args:
            size: size of the labels; the image's when None.

        Shapes: image (h, w, 3) RGB -> (h, w)

        Raises:
            CheckpointError: ONNX Runtime cannot run the file.
        """
        return nearest(self.labels_as_given(self._fitted(image)), size or image.shape[:2])

    def answer(
        self, image: NDArray[np.uint8], size: Size | None = None
    ) -> tuple[NDArray[np.int64], Panoptic | None]:
        """What `labels` gives, and the segments if the file tells things apart.

        Segments are made at the file's size, in whose pixels their areas are, and stretched as
        labels are.

        Shapes: image (h, w, 3) RGB

        Raises:
            CheckpointError: ONNX Runtime cannot run the file.
        """
        outputs, wanted = self._outputs(self._fitted(image)), size or image.shape[:2]
        labels, found = self._labels(outputs[0]), None
        if self.description.stuff_area is not None:
            probabilities, offsets, centres, heat = (o[0] for o in outputs[1:])
            found = panoptic_map(
                labels,
                offsets,
                centres,
                heat,
                things=self.description.classes.things,
                stuff_area=self.description.stuff_area,
                probabilities=probabilities,
            )
            maps = {name: nearest(getattr(found, name), wanted) for name in ("labels", "instances")}
            found = found._replace(**maps)
        return nearest(labels, wanted), found

    def labels_as_given(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class number of each pixel of an image that has the file's own size and layout.

        Shapes: image (1, 3, H, W) RGB -> (H, W)

        Raises:
            CheckpointError: ONNX Runtime cannot run the file.
        """
        return self._labels(self._outputs(image)[0])

    def _fitted(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return stretched(image, self.description.size).transpose(2, 0, 1)[None]

    def _outputs(self, image: NDArray[np.uint8]) -> list[NDArray]:
        try:
            return self._session.run(None, {INPUT: np.ascontiguousarray(image)})
        except Exception as error:  # of kinds of its own
            raise CheckpointError(
                f"ONNX Runtime cannot run {self._path}: {first_line(error)}"
            ) from error

    def _labels(self, answer: NDArray) -> NDArray[np.int64]:
        about = self.description
        if about.output == "labels":
            return answer[0]
        if about.output == "scores":
            return answer[0].argmax(axis=0)
        return labels_of_grid(answer[0], np.asarray(about.rows), np.asarray(about.columns))

    def _check_ends(self) -> None:
        """Raises CheckpointError where the file takes or gives something else than it says."""
        taken = {node.name: (list(node.shape), node.type) for node in self._session.get_inputs()}
        promised = {INPUT: ([1, 3, *self.description.size], "tensor(uint8)")}
        if taken != promised:
            raise CheckpointError(
                f"{self._path} takes {taken}, but says that it takes {promised}; export it again"
            )
        if self.description.stuff_area is not None:
            given = tuple(node.name for node in self._session.get_outputs())
            if given != (wanted := (self.description.output, *OF_INSTANCES)):
                raise CheckpointError(
                    f"{self._path} gives {', '.join(given)}, but things are told apart by "
                    f"{', '.join(wanted)}; export it again"
                )


def stretched(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """The image at another size, bilinear with antialiasing.

    Shapes: image (h, w, 3) -> (*size, 3)
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def nearest(labels: NDArray, size: Size) -> NDArray:
    """Labels at another size; each pixel takes that of the pixel in which its centre lies.

    Shapes: labels (h, w) -> (*size)
    """
    if labels.shape == tuple(size):
        return labels
    rows, columns = (
        (2 * np.arange(side) + 1) * seen // (2 * side)
        for seen, side in zip(labels.shape, size, strict=True)
    )
    return labels[rows[:, None], columns]


def labels_of_grid(
    scores: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The class with the highest score at each pixel, scores interpolated linearly in between.

    Args:
        rows, columns: where on the grid each row and column of the image lies.

    Shapes: scores (K, h, w), rows (H,), columns (W,) -> (H, W)
    """
    across = _between(scores, columns, axis=2)
    strips = [
        _between(across, rows[start : start + _STRIP], axis=1).argmax(axis=0)
        for start in range(0, len(rows), _STRIP)
    ]
    return np.concatenate(strips)


def _between(scores: NDArray[np.float32], places: NDArray[np.float64], *, axis: int) -> NDArray:
    low = np.clip(np.floor(places).astype(np.int64), 0, scores.shape[axis] - 1)
    high = np.minimum(low + 1, scores.shape[axis] - 1)
    share = (places - low).astype(np.float32)
    share = share[:, None] if axis == 1 else share
    return scores.take(low, axis) * (1 - share) + scores.take(high, axis) * share
