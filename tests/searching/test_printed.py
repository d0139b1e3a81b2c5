"""Papers' figures stand on a search's axes where they are of the same images."""

import pytest

from segsuite.data.class_table import ClassTable
from segsuite.engine.launch.help import options
from segsuite.searching.printed import figures_of_papers, with_printed

CITYSCAPES = ClassTable.load("cityscapes19")
MEASURED = {"hyctas_s_cityscapes": {"gmacs": 9.15}, "lraspp_cityscapes": {"gmacs": 15.8}}


def test_what_was_measured_gets_the_papers_accuracy_and_keeps_its_cost():
    found = with_printed(MEASURED, ["gmacs"], size=(1024, 2048), classes=CITYSCAPES)
    assert found["hyctas_s_cityscapes"] == {"miou": 0.723, "gmacs": 9.15}
    assert found["lraspp_cityscapes"] == {"gmacs": 15.8}  # nothing is printed of it
    assert found["YOLO26s-sem"] == {"miou": 0.801, "gmacs": 44.4}
    assert found["mobile_dpc_cityscapes_fine"] == {"miou": 0.713, "gmacs": 13.8}
    assert "PIDNet-S" not in found  # its operations are not printed


def test_a_latency_is_not_taken_from_another_machine():
    found = with_printed(
        {"hyctas_s_cityscapes": {"latency": 30.0}},
        ["latency"],
        size=(1024, 2048),
        classes=CITYSCAPES,
    )
    assert found == {"hyctas_s_cityscapes": {"miou": 0.723, "latency": 30.0}}


@pytest.mark.parametrize(
    ("size", "classes"), [((512, 1024), "cityscapes19"), ((1024, 2048), "camvid11")]
)
def test_figures_of_other_images_or_sizes_are_left_out(size, classes):
    table = ClassTable.load(classes)
    assert with_printed(MEASURED, ["gmacs"], size=size, classes=table) == MEASURED


def test_without_baselines_there_are_none():
    assert with_printed({}, ["gmacs"], size=(1024, 2048), classes=CITYSCAPES) == {}


def test_figures_are_of_shares_and_of_experiments_that_there_are():
    for name, figures in figures_of_papers().items():
        assert 0.5 < figures["miou"] < 1 and set(figures) <= {"miou", "gmacs", "parameters"}
        if name.islower():
            assert name in options("experiment")
