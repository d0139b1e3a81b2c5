"""What goes into an exported file: the deployed network, and what is made of its scores."""

from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.sizes import Size, check_size
from segsuite.nn.deploy import deployed
from segsuite.nn.panoptic import PanopticPrediction
from segsuite.nn.segmenter import Prediction, Segmenter
from segsuite.ops.row_argmax import argmax_of_rows, resized_rows

Output = Literal["labels", "scores", "grid"]
"""Class ids of all pixels; scores of all pixels; scores at native stride, without a resize."""


@runtime_checkable
class Resized(Protocol):
    """A prediction that is a coarse grid of scores, resized by a matrix for each axis."""

    grid_scores: Tensor

    def resizing(self, size: Size) -> tuple[Tensor, Tensor]:
        """(H, h) and (W, w): scores(size) are rows @ grid_scores @ columns.T."""


def semantic(prediction: Any) -> Prediction:
    """The part of a prediction that scores classes: of most networks all of it."""
    return prediction.semantic if isinstance(prediction, PanopticPrediction) else prediction


class Graph(nn.Module):
    """From images of one size to one output; static shapes throughout.

    Of a network that tells things apart, that is what it says of classes.

    Args:
        network: the network, which is not changed; a deployed copy of it is kept.
        size: size of the images, (height, width).
        output: what the graph gives, see `Output`.

    Raises:
        ConfigError: the network has no such output, or takes no such size.
    """

    def __init__(self, network: Segmenter, *, size: Size, output: Output) -> None:
        super().__init__()
        check_size(size, network.size_divisor, "size")
        self.size, self.output = size, output
        example = torch.zeros(1, 3, *size, dtype=torch.uint8)
        with torch.no_grad():
            self.network = deployed(
                network, lambda n: n.predict(example), memory_format=torch.contiguous_format
            )
            prediction = semantic(self.network.predict(example))
        self.on_grid = isinstance(prediction, Resized)
        if output == "grid" and not self.on_grid:
            raise ConfigError(
                f"output=grid: {type(network).__name__} has no scores on a grid; type "
                "output=scores or output=labels"
            )
        rows, columns = (
            prediction.resizing(size) if self.on_grid else (torch.empty(0), torch.empty(0))
        )
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all that it gives, the output first."""
        return (self.output,)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The output.

        Shapes: image (1, 3, H, W) 0..255 -> labels (1, H, W) int64, scores (1, K, H, W), or grid
        (1, K, h, w)
        """
        prediction = semantic(self.network.predict(image))
        if self.output == "labels":
            return self.labels_in(prediction)
        if self.output == "grid":
            return prediction.grid_scores
        if not self.on_grid:
            return prediction.scores(self.size)
        rows = resized_rows(prediction.grid_scores, self.rows, self.columns)
        return rows.transpose(1, 2).contiguous()

    def labels_of(self, grid_scores: Tensor) -> Tensor:
        """Labels of all pixels (1, H, W) from scores at native stride (1, K, h, w)."""
        return argmax_of_rows(grid_scores, self.rows, self.columns)

    def places(self) -> tuple[list[float], list[float]]:
        """Where on the grid each row and column of the image lies; empty for other outputs."""
        if self.output != "grid":
            return [], []
        # Rows of the matrices are linear interpolations between neighbours.
        rows, columns = (
            (matrix.double() @ torch.arange(matrix.shape[1], dtype=torch.float64)).round(decimals=5)
            for matrix in (self.rows, self.columns)
        )
        return rows.tolist(), columns.tolist()

    def labels_in(self, prediction: Any) -> Tensor:
        """Labels of all pixels (1, H, W) of what scores classes."""
        if self.on_grid:
            return self.labels_of(prediction.grid_scores)
        return prediction.labels(self.size)

    def given(self, prediction: Any) -> tuple[Tensor, ...]:
        """What a graph of labels gives, of the network's prediction."""
        return (self.labels_in(semantic(prediction)),)


class WithScores(nn.Module):
    """A graph of labels that gives the scores behind them too, to be compared."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.labelling = graph

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """What the graph gives, and the scores behind labels, on the grid if there is one.

        Shapes: image (1, 3, H, W) 0..255
        """
        graph = self.labelling
        prediction = graph.network.predict(image)
        scoring = semantic(prediction)
        scores = scoring.grid_scores if graph.on_grid else scoring.scores(graph.size)
        return (*graph.given(prediction), scores)
