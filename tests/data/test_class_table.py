import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segsuite.core.errors import DataError
from segsuite.core.labels import IGNORE
from segsuite.data.class_table import ClassTable, count_classes, distinct_colors


@pytest.mark.parametrize(
    "name, count", [("camvid11", 11), ("cityscapes19", 19), ("ade20k150", 150)]
)
def test_built_in_tables_have_their_classes(name: str, count: int) -> None:
    table = ClassTable.load(name)
    assert len(table) == count_classes(name) == count
    assert len(set(table.names)) == count
    assert table.colors.shape == (count, 3) and table.colors.dtype == np.uint8


def test_ids_without_a_class_become_the_label_that_losses_leave_out() -> None:
    table = ClassTable.load("camvid11")
    labels = table.labels(np.array([[table.ids[3], table.ignore]]), "a mask")
    assert labels.tolist() == [[3, IGNORE]]


def test_counting_classes_imports_no_torch() -> None:
    code = (
        "import sys; from segsuite.data.class_table import count_classes; "
        "assert count_classes('camvid11') == 11; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_cityscapes_ids_are_those_of_the_official_label_definition() -> None:
    table = ClassTable.load("cityscapes19")
    assert table.ids == (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
    raw = np.arange(34, dtype=np.uint8)
    labels = table.labels(raw, "all")
    assert labels[7] == 0 and labels[33] == 18 and (labels >= 0).sum() == 19
    assert {table.names[c] for c in table.things} == {
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    }  # fmt: skip


def test_ade20k_has_a_hundred_things_and_ignores_zero() -> None:
    table = ClassTable.load("ade20k150")
    assert len(table.things) == 100
    assert table.labels(np.array([0, 1, 150], np.uint8), "mask").tolist() == [-1, 0, 149]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_raw_ids_become_labels_and_back(dtype: type) -> None:
    table = ClassTable.load("camvid11")
    raw = np.arange(12, dtype=dtype).reshape(3, 4)
    labels = table.labels(raw, "mask")
    assert labels.reshape(-1).tolist() == [*range(11), -1]
    assert (table.raw(labels) == raw).all() and table.raw(labels).dtype == np.uint8


def test_an_unknown_id_is_named_with_its_file() -> None:
    table = ClassTable.load("camvid11")
    with pytest.raises(DataError, match=r"masks/a\.png holds the ids 12, 200"):
        table.labels(np.array([0, 12, 200], np.uint8), "masks/a.png")
    with pytest.raises(DataError, match="holds the id 60000"):
        table.labels(np.array([0, 60000], np.uint16), "masks/a.png")


def test_ids_need_not_be_in_order_nor_fit_a_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("ignore: 65535\nclasses: [{id: 40000, name: a}, {id: 3, name: b}]\n")
    table = ClassTable.load(path)
    raw = np.array([[3, 40000, 65535]], np.uint16)
    assert table.labels(raw, "x").tolist() == [[1, 0, -1]]
    assert table.raw(table.labels(raw, "x")).dtype == np.uint16


def test_plain_types_rebuild_a_table() -> None:
    table = ClassTable.load("ade20k150")
    plain = json.loads(json.dumps(table.to_dict()))
    again = ClassTable.from_dict(plain)
    assert again.to_dict() == table.to_dict() == plain
    assert (again.colors == table.colors).all()


@pytest.mark.parametrize(
    "text, message",
    [
        ("classes: []", "needs a list"),
        ("ignores: 3\nclasses: [{name: a}]", "unknown key `ignores`; did you mean `ignore`"),
        ("classes: [{name: a, colour: [1, 2, 3]}]", "did you mean `color`"),
        ("classes: [{id: 0}]", "needs at least a name"),
        ("classes: [{id: 0, name: a}, {id: 0, name: b}]", "lists the id 0 twice"),
        ("ignore: 1\nclasses: [{name: a}, {name: b}]", "lists the id 1 twice"),
        ("classes: [{id: -1, name: a}]", "id -1 is not a whole number"),
        ("classes: [{name: a, color: [1, 2, 300]}]", r"need \[r, g, b\]"),
        ("classes: [", "cannot be read as YAML: while parsing a flow node did not find"),
        ("\x89PNG\xff", "cannot be read as YAML: .* invalid start byte"),
        ("classes: 5", "needs a list"),
        ("classes: {0: road, 1: sky}", "needs a list"),
        ("ignored: 5\nclasses: [{name: a}]", "`ignored: 5` is no list of ids"),
        ("classes: [{name: a}, {name: b}, {name: a}]", "lists the name `a` twice"),
    ],
)
def test_a_faulty_table_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message) as caught:
        ClassTable.load(path)
    assert "\n" not in str(caught.value)


def test_a_misspelt_table_suggests_the_right_one() -> None:
    with pytest.raises(DataError, match="did you mean `camvid11`"):
        ClassTable.load("camvid12")
    with pytest.raises(DataError, match=r"no class table at nowhere\.yaml"):
        ClassTable.load("nowhere.yaml")


def test_colours_left_out_are_distinct(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("classes: [{name: a}, {name: b, color: [1, 2, 3]}, {name: c}]")
    colors = ClassTable.load(path).colors
    assert colors[1].tolist() == [1, 2, 3]
    many = distinct_colors(150)
    assert len({tuple(c) for c in many.tolist()}) == 150
    assert distinct_colors(1_284).shape == (1_284, 3)
