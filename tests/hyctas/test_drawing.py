"""Pictures of architectures."""

import pytest

from segsuite.methods.hyctas import drawing
from segsuite.methods.hyctas.genotype import Genotype
from tests.hyctas.made import TWO_BRANCHES, genotype


@pytest.mark.parametrize("name", ["s", "l"])
def test_every_cell_is_drawn_once_where_its_branch_is(name, tmp_path, monkeypatch):
    import matplotlib.axes

    drawn, text = [], matplotlib.axes.Axes.text

    def noted(self, x, y, said, **kind):
        drawn.append(said)
        return text(self, x, y, said, **kind)

    monkeypatch.setattr(matplotlib.axes.Axes, "text", noted)
    made = genotype(name)
    drawing.save_drawing({name: made, "two": Genotype(**TWO_BRANCHES)}, path := tmp_path / "a.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    cells = [
        branch.operations[layer]
        for one in (made, Genotype(**TWO_BRANCHES))
        for number, branch in enumerate(one.branches)
        for layer, owner in enumerate(one.shared[number])
        if owner == number
    ]
    assert len(drawn) == len(cells) and drawn.count("A") == cells.count("attention") > 0
