"""What an exported file says of itself: its classes, what it takes and what it answers.

    names, ids, colors, ignore, ignored, things, groups    as in the class table; an answer of 0 is
                                                           the first, ids[answer] is what masks hold
    input      name, layout, shape, dtype, channels, range; how images are brought to that shape
    output     labels | scores | grid
    rows, columns    of a grid alone: at which place of it each row and column of the image lies
    instances  where things are told apart alone: outputs, their names beside labels; stuff_area,
               pixels below which all of a class that is no thing becomes void
    network, iteration, int8, segsuite    the run's name, its iteration (null: random weights),
                                          whether it was calibrated, and the version that wrote it

ONNX files carry each key as a property, its value in JSON; other kinds have all of them in one JSON
file beside them, FILE.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import segsuite
from segsuite.core.errors import CheckpointError
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable

INPUT = "image"
"""The name of the one input."""

OF_INSTANCES = ("probabilities", "offsets", "centres", "heat")
"""Outputs beside labels that `runtime.panoptic` tells things apart by, in order."""

_KEYS = (
    *("names", "ids", "colors", "ignore", "ignored", "things", "groups", "input", "output"),
    *("rows", "columns", "instances", "network", "iteration", "int8", "segsuite"),
)
_OUTPUTS = ("labels", "scores", "grid")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is known of an exported network.

    Attributes:
        size: (height, width) of the images that it takes, fixed.
        dtype: type of the input.
        output: labels (1, H, W), scores (1, K, H, W), or a grid of scores (1, K, h, w).
        rows, columns: for a grid, where on it each row and column of the image lies, for scores in
            between to be interpolated linearly. Empty otherwise.
        stuff_area: pixels below which all of a class that is no thing becomes void; None where the
            file tells no things apart.
        iteration: iteration of the checkpoint; None for random weights.
        version: version of the suite that wrote it.
    """

    classes: ClassTable
    size: Size
    output: str
    dtype: str = "uint8"
    rows: tuple[float, ...] = ()
    columns: tuple[float, ...] = ()
    stuff_area: int | None = None
    network: str = ""
    iteration: int | None = None
    int8: bool = False
    version: str = field(default=segsuite.__version__)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, under the names in this file's headline."""
        content = {
            "segsuite": self.version,
            "network": self.network,
            "iteration": self.iteration,
            "int8": self.int8,
            "input": {
                "name": INPUT,
                "layout": "NCHW",
                "shape": [1, 3, *self.size],
                "dtype": self.dtype,
                "channels": "RGB",
                "range": [0, 255],
                "resize": "bilinear, antialiased",
            },
            "output": self.output,
            **self.classes.to_dict(),
        }
        if self.output == "grid":
            content |= {"rows": list(self.rows), "columns": list(self.columns)}
        if self.stuff_area is not None:
            told = {"outputs": list(OF_INSTANCES), "stuff_area": self.stuff_area}
            content |= {"instances": told}
        return content

    def to_properties(self) -> dict[str, str]:
        """As an ONNX file carries it: each value in JSON."""
        return {key: json.dumps(value) for key, value in self.to_dict().items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], path: str | Path) -> Self:
        """What `to_properties` gave.

        Raises:
            CheckpointError: the properties are not ours, or do not fit together.
        """
        if "segsuite" not in properties:
            raise CheckpointError(
                f"{path} does not say what its classes are, what it takes and what it answers: "
                "only ONNX files written by this version of python -m segsuite.export do. Export "
                "the network again, or give its .ckpt file"
            )
        try:
            known = {key: json.loads(properties[key]) for key in _KEYS if key in properties}
            return cls._from_dict(known)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise CheckpointError(
                f"{path} does not describe itself as segsuite.export would ({what}); export the "
                "network again"
            ) from error

    @classmethod
    def _from_dict(cls, plain: Mapping[str, Any]) -> Self:
        classes = ClassTable.from_dict(plain)
        height, width = (int(side) for side in plain["input"]["shape"][-2:])
        rows, columns = (tuple(map(float, plain.get(axis, ()))) for axis in ("rows", "columns"))
        if plain["output"] not in _OUTPUTS:
            raise ValueError(f"output {plain['output']!r} is not one of {', '.join(_OUTPUTS)}")
        if not len(classes.ids) == len(classes.colors) == len(classes) > 0:
            raise ValueError("names, ids and colors are not of one number")
        if plain["output"] == "grid" and (len(rows), len(columns)) != (height, width):
            raise ValueError("rows and columns are not as many as the image's")
        instances = plain.get("instances")
        if instances is not None and tuple(instances["outputs"]) != OF_INSTANCES:
            raise ValueError(f"things are told apart by {instances['outputs']}")
        return cls(
            classes=classes,
            size=(height, width),
            output=plain["output"],
            dtype=str(plain["input"]["dtype"]),
            rows=rows,
            columns=columns,
            stuff_area=None if instances is None else int(instances["stuff_area"]),
            network=str(plain["network"]),
            iteration=plain["iteration"],
            int8=bool(plain["int8"]),
            version=str(plain["segsuite"]),
        )
