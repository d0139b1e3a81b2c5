"""scripts/compare_*.py, at sizes that show that they run and no more."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from segsuite.core.config import CONF
from tests.data.layouts import camvid


@pytest.fixture(autouse=True)
def _threads_as_before(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def script(name: str) -> ModuleType:
    path = CONF.parent / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_loaders_read_the_same_files_in_turns(tmp_path: Path, monkeypatch, capsys) -> None:
    compare, asked = script("compare_loaders"), []
    monkeypatch.setattr(compare, "IMAGES", 8)
    monkeypatch.setitem(compare.PEERS, "mmseg", lambda size: asked.append)
    root = camvid(tmp_path)
    given = ["data=camvid", f"data.root={root}", "data.reader.expected=null"]
    compare.main("mmseg", [*given, "data.batch_size=2"])
    assert {image.parent.name for image, _ in asked} == {"train"}
    assert all(image.stem == label.stem for image, label in asked)
    assert len(asked) == 2 + 8 * compare.ROUNDS  # a batch before the first round
    assert "95 % interval) times as fast as mmseg" in capsys.readouterr().out
    for other in ("data.crop_size=[64,64]", "data.num_workers=1", "+data.cache=true"):
        with pytest.raises(SystemExit, match="the work of one side alone"):
            compare.main("mmseg", [*given, other])
    with pytest.raises(SystemExit, match="batch_size=9 is more than the 8 images"):
        compare.main("mmseg", [*given, "data.batch_size=9"])


@pytest.mark.parametrize("peer", ["mmseg", "albumentations"])
def test_peers_make_samples_of_the_same_size(peer: str, tmp_path: Path) -> None:
    pytest.importorskip(peer)
    compare, root = script("compare_loaders"), camvid(tmp_path)
    image, label = root / "train" / "0001TP_000000.png", root / "trainannot" / "0001TP_000000.png"
    made = compare.PEERS[peer]((12, 16))((image, label))
    pixels = made["inputs" if peer == "mmseg" else "image"]
    assert tuple(pixels.shape) == (3, compare.CROP, compare.CROP)


def test_panoptic_quality_is_that_of_hotcoco(monkeypatch, capsys) -> None:
    pytest.importorskip("hotcoco")
    compare = script("compare_panoptic_quality")
    monkeypatch.setattr(compare, "SIZE", (64, 128))
    with pytest.raises(SystemExit) as end:
        compare.main(3)
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "3 images of 64x128" in out and out.count("times what hotcoco takes") == 3
    monkeypatch.setattr(compare, "counted", lambda found, truth: {"pq": 0.123})
    with pytest.raises(SystemExit) as end:
        compare.main(1)
    assert "PQ differs by" in str(end.value.code)
