"""Architectures as pictures: branches by stride, as the paper's figure 4."""

from collections.abc import Mapping
from pathlib import Path

from segsuite.core.files import written_whole
from segsuite.methods.hyctas.channels import FULL
from segsuite.methods.hyctas.genotype import SCALES, Genotype

_COLORS = {
    "skip": "#d9d9d9",
    "conv": "#9fc5e8",
    "light": "#b6d7a8",
    "light2": "#6aa84f",
    "attention": "#e69138",
}
_LETTERS = {"skip": "·", "conv": "3", "light": "L", "light2": "LL", "attention": "A"}

_APART = 0.28
"""Of branches at one scale, whose distance is 1."""


def save_drawing(genotypes: Mapping[str, Genotype], path: Path) -> None:
    """Writes one row for each architecture, by its heading.

    A box is a cell: upright its scale, as high as it is wide in channels; attention is marked A.
    Cells that branches share are drawn once.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    deepest = max(branch.depth for g in genotypes.values() for branch in g.branches)
    figure = Figure(figsize=(max(0.42 * deepest + 1.6, 5), 2.6 * len(genotypes) + 0.5), dpi=110)
    FigureCanvasAgg(figure)  # no window system is needed
    for row, (heading, genotype) in enumerate(genotypes.items()):
        axes = figure.add_subplot(len(genotypes), 1, row + 1)
        axes.set_title(heading, loc="left", fontsize=8)
        axes.set_xlim(-0.8, deepest + 0.2)
        axes.set_ylim(len(SCALES) - 0.4, -0.6)
        axes.set_yticks(range(len(SCALES)), [f"1/{scale}" for scale in SCALES], fontsize=8)
        axes.set_xticks([])
        for number, branch in enumerate(genotype.branches):
            apart = _APART * (number - (len(genotype.branches) - 1) / 2)
            places = [(-0.5, 0.0)]
            for layer, operation in enumerate(branch.operations):
                owner = genotype.shared[number][layer]
                shift = _APART * (owner - (len(genotype.branches) - 1) / 2)
                place = (float(layer), SCALES.index(branch.scale(layer)) + shift)
                places.append(place)
                if owner != number:
                    continue
                high = 0.27 * branch.width(layer, ends=genotype.channels.ends) / FULL
                box = Rectangle(
                    (place[0] - 0.36, place[1] - high / 2),
                    *(0.72, high),
                    facecolor=_COLORS[operation],
                    edgecolor="black",
                    linewidth=0.5,
                    zorder=2,
                )
                axes.add_patch(box)
                text = _LETTERS[operation]
                kind = {"ha": "center", "va": "center", "fontsize": 6, "zorder": 3}
                axes.text(*place, text, weight="bold" if text == "A" else "normal", **kind)
            end = (deepest - 0.2, branch.last + apart)
            axes.plot(*zip(*places, end, strict=True), color="#666666", lw=0.8, zorder=1)
    names = "  ".join(f"{letter} {name}" for name, letter in _LETTERS.items())
    figure.text(0.01, 0.005, names, fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    with written_whole(path) as beside:
        figure.savefig(beside)
