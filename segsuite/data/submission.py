"""Predictions in the form that a benchmark's server takes."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.files import written_whole
from segsuite.data.class_table import ClassTable

_FRAME = re.compile(r"([A-Za-z-]+_\d{6}_\d{6})(_leftImg8bit)?")


class CityscapesSubmission:
    """Writes one 8-bit PNG of label ids for each frame, `CITY_SEQUENCE_FRAME_labelIds.png`.

    Cityscapes' evaluator pairs predictions and labels by the first three parts of the name.

    Args:
        classes: the table whose ids are written; a network's classes are looked up by name.
    """

    def __init__(self, *, classes: str) -> None:
        self._name, self._table = classes, ClassTable.load(classes)

    def check_things(self, trained: ClassTable) -> None:
        """Raises ConfigError, naming the class, if one is told apart here and not there."""
        theirs = {self._table.names[c] for c in self._table.things} & set(trained.names)
        own = {trained.names[c] for c in trained.things}
        if odd := sorted(own ^ theirs):
            one, other = ("a thing", "none") if odd[0] in own else ("no thing", "one")
            raise ConfigError(
                f"the class `{odd[0]}` is {one} to the network and {other} in the table "
                f"{self._name}, so that its segments are not those that are evaluated; give "
                "another table as submission.classes=..., or leave submission out"
            )

    def table(self, trained: ClassTable) -> ClassTable:
        """The network's classes, with the ids that are submitted.

        Raises:
            ConfigError: a class of the network is not in the table whose ids are submitted.
        """
        ids = dict(zip(self._table.names, self._table.ids, strict=True))
        strange = [name for name in trained.names if name not in ids]
        if strange:
            raise ConfigError(
                f"the network's class `{strange[0]}` is not in the table {self._name}, whose ids "
                "are submitted; give another table as submission.classes=..."
            )
        own = tuple(ids[name] for name in trained.names)
        return replace(trained, ids=own, ignore=self._table.ignore, ignored=self._table.ignored)

    def frame(self, sample: str) -> str:
        """CITY_SEQUENCE_FRAME, which is what files, and images in JSON files, are called by.

        Args:
            sample: the frame, as an image's name without suffix or as a sample's id.

        Raises:
            DataError: a name that is no frame's.
        """
        frame = _FRAME.fullmatch(sample.rpartition("/")[2])
        if frame is None:
            raise DataError(
                f"`{sample}` is no frame of Cityscapes (CITY_SEQUENCE_FRAME, such as "
                "ulm_000001_000019); its server pairs files by these names"
            )
        return frame[1]

    def write(
        self, folder: Path, sample: str, labels: NDArray[np.int64], trained: ClassTable
    ) -> Path:
        """The file written, whole or not at all.

        Shapes: labels (H, W), classes of `trained`

        Args:
            sample: the frame, as an image's name without suffix or as a sample's id.

        Raises:
            DataError: a name that is no frame's.
        """
        path = folder / f"{self.frame(sample)}_labelIds.png"
        with written_whole(path) as beside:
            Image.fromarray(self.table(trained).raw(labels)).save(beside)
        return path
