"""What class embeddings have learnt: a map of them in the plane, and each class's nearest ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.files import written_whole
from segsuite.ops.neighbours import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

_FEW = 60
"""Classes up to which points are drawn large."""

_TYPE = 6
"""Size of the names, in points."""

_LETTER = 0.7
"""Width of a letter by the size of the type: wide, so that names do not touch."""


def plane(table: Tensor) -> Tensor:
    """(C, 2) the embeddings on their two principal axes; the same on every machine up to rounding.

    An axis has no natural direction: the largest entry is made positive.

    Shapes: table (C, d)
    """
    points = table.detach().double().cpu()
    points = points - points.mean(0)
    _, _, axes = torch.linalg.svd(points, full_matrices=False)
    projected = F.pad(points @ axes[:2].T, (0, max(2 - len(axes), 0)))
    largest = projected.gather(0, projected.abs().argmax(0, keepdim=True))
    return projected * torch.where(largest < 0, -1.0, 1.0)


def nearest_classes(table: Tensor, k: int) -> Tensor:
    """(C, k) int64: for each class the k others whose embeddings lie nearest, nearest first."""
    table = table.detach().float().cpu()
    k = min(k, len(table) - 1)
    neighbours = nearest(table, table, k + 1, search="torch")
    own = torch.arange(len(table)).unsqueeze(1)
    # The own class is there, unless others coincide with it: then any one is left out.
    keep = (neighbours != own).long()
    keep[:, -1] -= (keep.sum(1) > k).long()
    return neighbours[keep.bool()].view(len(table), k)


def nearest_text(table: Tensor, names: Sequence[str], *, k: int = 5, of: str | None = None) -> str:
    """A line per class, `car: bus 0.31, truck 0.35, ...` with distances; or of one class alone.

    Raises:
        ConfigError: there is no class of that name.
    """
    if of is not None and of not in names:
        raise ConfigError(f"no class is called {of!r}{did_you_mean(of, names)}")
    rows = range(len(names)) if of is None else [list(names).index(of)]
    neighbours, points = nearest_classes(table, k), table.detach().float().cpu()
    lines = []
    for row in rows:
        near = neighbours[row]
        gaps = (points[near] - points[row]).norm(dim=1)
        pairs = zip(near.tolist(), gaps.tolist(), strict=True)
        lines.append(f"{names[row]}: " + ", ".join(f"{names[n]} {gap:.3f}" for n, gap in pairs))
    return "\n".join(lines)


def save_map(
    table: Tensor,
    names: Sequence[str],
    path: str | Path,
    *,
    colors: NDArray[np.uint8],
    groups: Sequence[str] = (),
    title: str = "",
) -> None:
    """Writes the map as PNG: a point per class, coloured by group where there are groups.

    Args:
        colors: colours (C, 3) of the classes, for tables without groups.
    """
    from matplotlib.figure import Figure

    points = plane(table).numpy()
    figure = Figure(figsize=(9, 7), dpi=110)
    axes = figure.subplots()
    size = 40 if len(names) <= _FEW else 8
    for group in dict.fromkeys(groups):
        rows = [n for n, group_of_class in enumerate(groups) if group_of_class == group]
        axes.scatter(points[rows, 0], points[rows, 1], s=size, label=f"{group} ({len(rows)})")
    if groups:
        # Above the frame: among many points the best place takes minutes to find.
        axes.legend(
            fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=min(len(set(groups)), 4)
        )
    else:
        axes.scatter(points[:, 0], points[:, 1], s=size, c=colors / 255, edgecolors="grey", lw=0.5)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(x=0.1)  # room for names on the right
    figure.tight_layout()
    name_points(axes, points, names)
    with written_whole(path) as beside:
        figure.savefig(beside)


def name_points(axes: "Axes", points: NDArray[np.float64], names: Sequence[str]) -> "list[Text]":
    """Writes beside their points as many names as can be read.

    Shapes: points (C, 2)
    """
    axes.autoscale_view()  # otherwise put off until all is drawn
    dot = axes.figure.dpi / 72  # a point of type, in the image's pixels
    corners = axes.transData.transform(points) + 3 * dot
    # Laying out letters to know their width would take longer than all the rest.
    widths = np.array([len(name) for name in names]) * _LETTER * _TYPE * dot
    boxes = np.column_stack([corners, corners + np.column_stack([widths, widths * 0 + 2 * _TYPE])])
    inside = boxes[:, 2] < axes.get_window_extent().x1
    # Those far from the middle first: they have room, and tell what the axes mean.
    order = np.argsort(-np.linalg.norm(points, axis=1), kind="stable")
    how = {"fontsize": _TYPE, "xytext": (3, 3), "textcoords": "offset points"}
    rows = apart(boxes, order[inside[order]])
    return [axes.annotate(names[row], points[row], **how) for row in rows]


def apart(boxes: NDArray[np.float64], order: NDArray[np.int64]) -> list[int]:
    """The boxes that do not meet one that was chosen before, in that order.

    Shapes: boxes (N, 4), their left, bottom, right and top
    """
    chosen: list[int] = []
    for row in order.tolist():
        taken, box = boxes[chosen], boxes[row]
        if ((box[:2] > taken[:, 2:]) | (box[2:] < taken[:, :2])).any(1).all():
            chosen.append(row)
    return chosen
