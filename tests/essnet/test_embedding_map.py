"""Maps and neighbours of class embeddings; and the family end to end."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch

from segsuite.core.errors import ConfigError
from segsuite.data.class_table import ClassTable
from segsuite.methods.essnet.embedding_map import (
    name_points,
    nearest_classes,
    nearest_text,
    plane,
    save_map,
)
from tests.engine.entry_points import called

NAMES = ("car", "bus", "tree", "bush")
TABLE = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [-1.0, 0.5, 0.0], [-1.0, 0.6, 0.1]])


def test_the_plane_keeps_distances_of_points_that_lie_in_one():
    torch.manual_seed(0)
    flat = torch.randn(20, 2, dtype=torch.float64) @ torch.randn(2, 7, dtype=torch.float64) + 3
    torch.testing.assert_close(torch.pdist(plane(flat)), torch.pdist(flat))
    torch.testing.assert_close(plane(flat), plane(flat @ torch.diag(torch.ones(7).double())))
    assert plane(torch.randn(5, 1)).shape == (5, 2)


def test_nearest_classes_leave_the_class_itself_out():
    assert nearest_classes(TABLE, 1).flatten().tolist() == [1, 0, 3, 2]
    assert nearest_text(TABLE, NAMES, k=2, of="car").startswith("car: bus 0.141, tree 2.06")
    assert len(nearest_text(TABLE, NAMES).splitlines()) == 4
    coinciding = torch.zeros(4, 3)
    assert nearest_classes(coinciding, 2).shape == (4, 2)
    assert all(n not in row for n, row in enumerate(nearest_classes(coinciding, 2).tolist()))


def test_an_unknown_class_is_named():
    with pytest.raises(ConfigError, match="did you mean `bush`"):
        nearest_text(TABLE, NAMES, of="busch")


@pytest.mark.parametrize("groups", [(), ("frequent",) * 1000 + ("rare",) * 284])
def test_a_map_of_1284_classes(tmp_path, groups):
    torch.manual_seed(0)
    path, names = tmp_path / "map.png", [f"class {n}" for n in range(1284)]
    colors = torch.randint(0, 256, (1284, 3), dtype=torch.uint8).numpy()
    save_map(torch.randn(1284, 12), names, path, colors=colors, groups=groups)
    assert path.stat().st_size > 20_000


@pytest.mark.parametrize("count", [19, 1284])
def test_names_on_the_map_can_be_read(count):
    """None covers another or leaves the frame, and there are enough of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = ClassTable.load("coco_lvis1284").names[:count]
    points = torch.randn(count, 2, generator=torch.Generator().manual_seed(0)).numpy()
    figure = Figure(figsize=(9, 7), dpi=110)
    axes = FigureCanvasAgg(figure).figure.subplots()
    axes.scatter(points[:, 0], points[:, 1])
    boxes = [text.get_window_extent() for text in name_points(axes, points, names)]
    assert len(boxes) > min(0.6 * count, 100)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(box.x1 < axes.get_window_extent().x1 for box in boxes)


def test_trained_shown_evaluated_and_predicted(tmp_path, capsys, monkeypatch):
    """1,284 classes from training to images, on scenes of 64 pixels."""
    from segsuite.evaluate import main as evaluate
    from segsuite.train import main as train

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    import show_embeddings

    code = called(
        train,
        *("experiment=essnet_cityscapes_mobilenetv2", "data=scenes", "data.num_classes=1284"),
        *("data.crop_size=[64,64]", "data.reader.lengths={train: 4, val: 2}", "debug=smoke"),
        *("trainer=cpu", f"paths.logs={tmp_path}", "method.separable=true", "name=small"),
    )
    assert code == 0
    (folder,) = tmp_path.glob("train/small/*")
    result = json.loads((folder / "result.json").read_text())
    assert {"test/miou", "test/miou_frequent", "test/miou_rare"} <= set(result["metrics"])
    assert len(list((folder / "embeddings").glob("*.png"))) == 2
    lines = (folder / "embeddings" / "nearest_classes.txt").read_text().splitlines()
    assert len(lines) == 1284 and lines[0].startswith("road: ")
    assert "group" in (folder / "classes.csv").read_text().splitlines()[0]

    checkpoint = folder / "checkpoints" / "best.ckpt"
    image = tmp_path / "map.png"
    assert show_embeddings.main([str(checkpoint), "--of", "car", "--map", str(image)]) == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("car: ") and image.exists()
    assert show_embeddings.main([str(checkpoint), "--of", "cra"]) == 2

    again = called(evaluate, f"ckpt_path={checkpoint}", "trainer=cpu", f"paths.logs={tmp_path}")
    assert again == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert found["val/miou"] == result["metrics"]["test/miou"]


def test_loggers_get_a_map_and_a_table(tmp_path):
    from types import SimpleNamespace

    from segsuite.methods.essnet.callbacks import EmbeddingMap
    from tests.essnet.made import network
    from tests.toy import toy_classes

    heard = {"images": [], "tables": []}
    wandb = SimpleNamespace(
        log_image=lambda name, paths, step: heard["images"].append((name, paths[0], step)),
        log_table=lambda key, columns, data: heard["tables"].append((key, columns, data)),
    )
    trainer = SimpleNamespace(
        is_global_zero=True, state=SimpleNamespace(fn="fit"), global_step=7, loggers=[wandb]
    )
    classes = replace(toy_classes(19), groups=("rare",) * 19)
    module = SimpleNamespace(
        network=network("method.separable=true"),
        classes=classes,
    )
    callback = EmbeddingMap(folder=str(tmp_path))
    callback.on_validation_end(trainer, module)
    callback.on_fit_end(trainer, module)
    assert heard["images"] == [("embeddings", str(tmp_path / "0000007.png"), 6)], (
        "the row of its mIoU"
    )
    ((key, columns, rows),) = heard["tables"]
    assert key == "class_embeddings" and columns == ["class", "group", "x", "y"]
    assert len(rows) == 19 and rows[3][:2] == ["class 3", "rare"]


def test_a_network_without_class_vectors_is_refused_before_training(tmp_path):
    from types import SimpleNamespace

    from segsuite.methods.essnet.callbacks import EmbeddingMap
    from tests.toy import ToySegmenter

    module = SimpleNamespace(network=ToySegmenter(num_classes=3))
    module.network.head = None
    with pytest.raises(ConfigError, match="callbacks=default"):
        EmbeddingMap(folder=str(tmp_path)).on_fit_start(None, module)
