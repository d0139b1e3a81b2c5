"""How far an exported file is from the network itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segsuite.core.hints import Count, Share
from segsuite.core.sizes import Size
from segsuite.exporting.errors import ExportError
from segsuite.exporting.graph import Graph, semantic
from segsuite.nn.segmenter import Segmenter

Run = Callable[[Tensor], list[Tensor]]
"""An image (1, 3, H, W) uint8 to all outputs of a file."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a float file may be from the network.

    Attributes:
        images: how many validation images they are compared on.
        difference: largest difference of scores, as a share of the largest score.
        agreement: smallest share of equal labels.
        instances: smallest share of pixels in equal segments, where things are told apart. A heat
            beside the threshold may be a centre for one and none for the other.
    """

    images: Count = 4
    difference: float = 1e-4
    agreement: Share = 0.9999
    instances: Share = 0.9


@dataclass(frozen=True)
class Parity:
    """A file beside the network as it was trained, in eager torch.

    Attributes:
        images: how many were compared; none of them was used for the export.
        difference: largest difference of any score; None where only labels can be had.
        scale: largest score of the network, to see `difference` against.
        agreement: share of pixels with equal labels.
        instances: share of pixels in equal segments; None where the file tells nothing apart.
    """

    images: int
    difference: float | None
    scale: float
    agreement: float
    instances: float | None = None

    def check(self, limits: Limits, *, name: str) -> None:
        """Raises ExportError unless all of them are within the limits."""
        if self.instances is not None and self.instances < limits.instances:
            raise ExportError(
                f"{name} tells things apart otherwise than the network: "
                f"{100 * self.instances:.4f} % of the pixels are in equal segments, expected "
                f"{100 * limits.instances:.4f} %. It was not kept; parity.instances says what is "
                "accepted"
            )
        far = self.difference is not None and self.difference > limits.difference * self.scale
        if far or self.agreement < limits.agreement:
            raise ExportError(
                f"{name} differs from the network: {self._scores()}labels agree on "
                f"{100 * self.agreement:.4f} %; expected {limits.difference} of the largest "
                f"score and {100 * limits.agreement:.4f} %. It was not kept; parity.difference and "
                "parity.agreement say what is accepted"
            )

    def _scores(self) -> str:
        if self.difference is None:
            return ""
        return f"scores differ by up to {self.difference:.2g} (of at most {self.scale:.3g}), "

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return dict(vars(self))


def compared(
    run: Run,
    network: Segmenter,
    graph: Graph,
    images: Tensor,
    *,
    scores_behind: Callable[[Tensor], Tensor] | None = None,
) -> Parity:
    """The file's outputs beside those of the network, which nothing was folded in.

    Scores are compared where there are some, at the place where they are; labels always, made of
    the scores where the file gives no labels.

    Args:
        scores_behind: gives the scores behind labels, for files that give labels alone.

    Shapes: images (P, 3, H, W) uint8
    """
    differences, scales, equal = [], [], []
    with torch.inference_mode():
        for image in images.split(1):
            prediction = semantic(network.predict(image))
            expected, labels = prediction.scores(graph.size), prediction.labels(graph.size)
            file_labels, scores = outputs(run(image), graph)
            if scores_behind is not None:
                scores = scores_behind(image)
            equal.append((file_labels == labels).double().mean())
            if scores is not None:
                if scores.shape != expected.shape:
                    expected = prediction.grid_scores
                differences.append((scores - expected).abs().max())
            scales.append(expected.abs().max())
    return Parity(
        images=len(images),
        difference=float(torch.stack(differences).max()) if differences else None,
        scale=float(torch.stack(scales).max()),
        agreement=float(torch.stack(equal).mean()),
    )


def outputs(found: list[Tensor], graph: Graph) -> tuple[Tensor, Tensor | None]:
    """Labels of all pixels, (1, H, W), and the scores that the file gave, if any.

    Args:
        found: outputs of a file made of `graph`.
    """
    if graph.output == "labels":
        return found[0].long(), None
    scores = found[0]
    if tuple(scores.shape[-2:]) == tuple(graph.size):
        return scores.argmax(dim=1), scores
    return graph.labels_of(scores), scores  # they are at native stride


def labelled(run: Run, graph: Graph) -> Callable[[Tensor, Size], Tensor]:
    """Images of the file's size to labels of any size, by the nearest pixel where they differ."""

    def labels(image: Tensor, size: Size) -> Tensor:
        predicted = outputs(run(image), graph)[0]
        if tuple(predicted.shape[-2:]) == tuple(size):
            return predicted
        near = torch.nn.functional.interpolate(
            predicted[None].double(), size=size, mode="nearest-exact"
        )
        return near[0].long()

    return labels
