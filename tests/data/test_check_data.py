import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import open_dict
from PIL import Image

from segsuite.core.build import build
from segsuite.data.checks.inspection import median_frequency_weights, report
from segsuite.data.checks.preview import write_preview, write_table
from segsuite.data.class_table import ClassTable
from segsuite.data.module import SegmentationData
from segsuite.data.readers.paired_files import PairedFiles
from segsuite.engine.launch.entry_point import compose
from tests.data.layouts import camvid, mask_of, write_image, write_mask

TABLE = ClassTable.load("camvid11")
REAL_CAMVID = Path(__file__).parents[3] / "shared/data/camvid"


def configured(name: str, **keys: Any) -> SegmentationData:
    """conf/data/<name>.yaml, built as the entry points build it."""
    config = compose("check_data", [f"data={name}", "seed=3", "paths.data=/data"])
    with open_dict(config):
        config.data.merge_with(keys)
    return build(config.data, path="data")


def opened(root: Path) -> Any:
    reader = PairedFiles(
        images="{split}/{id}.*", masks="{split}annot/{id}.png", splits={"train": "train"}
    )
    return reader.open("train", root=root, classes=TABLE, instances=False, strict=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CamVid with one of each fault: no mask, an id out of range, a file cut short."""
    root = camvid(tmp_path / "camvid", train=4)
    write_image(root / "train/lonely.png")
    write_mask(root / "trainannot/0001TP_000001.png", mask_of([3, 77]))
    (root / "train/0001TP_000002.png").write_bytes(b"PNG")
    return root


@pytest.mark.parametrize("name", ["camvid", "cityscapes", "ade20k", "scenes"])
def test_every_data_config_builds(name: str) -> None:
    module = configured(name)
    assert len(module.classes) == {"camvid": 11, "ade20k": 150}.get(name, 19)


def test_a_folder_of_ones_own_trains_after_ten_lines(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(
        "ignore: 255\n"
        "classes:\n"
        "  - {id: 0, name: background, color: [0, 0, 0]}\n"
        "  - {id: 7, name: crack, color: [220, 20, 60]}\n"
    )
    for number in range(10):
        write_image(tmp_path / f"images/{number}.jpg", (20, 30), number)
        write_mask(tmp_path / f"masks/{number}.png", mask_of([0, 7, 255], (20, 30)))
    module = configured(
        "folder", root=str(tmp_path), crop_size=[16, 16], num_workers=0, verify_dir=str(tmp_path)
    )
    module.setup("fit")
    assert module.classes.names == ("background", "crack")
    assert (len(module.samples("train")), len(module.samples("val"))) == (8, 2)
    assert next(iter(module.train_dataloader()))["label"].unique().tolist() == [-1, 0, 1]


def test_a_report_finds_everything(root: Path, tmp_path: Path) -> None:
    figures = report("train", opened(root), TABLE, drawn=0, folder=tmp_path)
    assert (figures.occurrence.samples, figures.occurrence.looked_at, figures.ok) == (4, 4, False)
    assert figures.sizes == {(12, 16): 3}
    assert "lonely.png has no mask" in figures.gaps[0]
    assert [fault.split("/")[-1][:15] for fault in figures.faults] == [
        "0001TP_000001.p",
        "0001TP_000002.p",
    ]
    assert figures.unknown == {77: 96}
    assert figures.occurrence.ids == {0: 144, 3: 240, 8: 144, 11: 144, 77: 96}
    assert figures.pixels[[0, 3, 8]].tolist() == [144, 240, 144]
    assert figures.presence[[0, 3, 8]].tolist() == [3, 4, 3]
    assert figures.absent == [1, 2, 4, 5, 6, 7, 9, 10]
    assert figures.ignored == pytest.approx(144 / 768)
    json.dumps(figures.summary(TABLE))


def test_weights_are_median_frequency() -> None:
    weights = median_frequency_weights(np.array([0.5, 0.1, 0.0, 0.2]))
    assert weights.tolist() == pytest.approx([0.4, 2.0, 0.0, 1.0])


@pytest.mark.skipif(not REAL_CAMVID.is_dir(), reason="CamVid is not here")
def test_the_masks_of_camvid_give_the_known_figures(tmp_path: Path) -> None:
    """specs/datasets.md, section 7; only the masks, which are quick to decode."""
    counts = {}
    for path in sorted((REAL_CAMVID / "trainannot").iterdir()):
        ids, pixels = np.unique(np.array(Image.open(path)), return_counts=True)
        counts[path.stem] = dict(zip(ids.tolist(), pixels.tolist(), strict=True))

    class Masks:
        key, gaps, ids = "masks", (), list(counts)
        __len__ = lambda self: len(counts)  # noqa: E731
        files = lambda self, index: ()  # noqa: E731

        def inspect(self, index: int) -> Any:
            from segsuite.data.samples import Facts

            return Facts((360, 480), (360, 480), counts[self.ids[index]])

    figures = report("train", Masks(), TABLE, drawn=367)
    assert figures.pixels[:3].tolist() == [10682767, 14750079, 623349]
    known = [0.2793, 0.2017, 4.7865, 0.149, 1.0, 0.4217, 3.8467, 1.9736, 0.7889, 6.3747, 8.8587]
    assert figures.weights.tolist() == pytest.approx(known, abs=1e-4)


def test_the_preview_shows_what_can_be_read(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "out/train.png"
    write_preview(opened(root), TABLE, path, count=4, split="train")
    image = np.array(Image.open(path))
    assert image.shape[0] >= 2 * 240
    for c in (0, 3, 8):  # the colours that occur are in the labels and in the legend
        assert (image == TABLE.colors[c]).all(-1).sum() > 500
    assert [p.name for p in path.parent.iterdir()] == ["train.png"]


def test_the_table_names_what_is_wrong(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(report("train", opened(root), TABLE, drawn=0, folder=tmp_path), TABLE)
    printed = capsys.readouterr().out
    for part in (
        "Bicyclist",
        "ids out of range: 77",
        "lonely.png has no mask",
        "cannot be decoded",
    ):
        assert part in printed


@pytest.mark.parametrize("faulty", [False, True])
def test_the_entry_point_ends_with_json_and_tells_by_its_exit_code(
    faulty: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from segsuite import check_data

    root = camvid(tmp_path / "camvid")
    if faulty:
        (root / "valannot/0001TP_000000.png").unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arguments = ["data=camvid", f"data.root={root}", "data.reader.expected=null"]
    monkeypatch.setattr(
        "sys.argv", ["check_data", *arguments, f"paths.logs={tmp_path}/logs", "images=1"]
    )
    if faulty:
        with pytest.raises(SystemExit) as stop:
            check_data.main()
        assert stop.value.code == 1
    else:
        check_data.main()
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert result["train"]["ok"] and result["val"]["ok"] is not faulty
    assert Path(result["val"]["preview"]).is_file()


def test_a_folder_of_one_pair_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Validation would be empty; said before the first split is looked at."""
    from segsuite import check_data

    write_image(tmp_path / "mine/images/one.jpg")
    write_mask(tmp_path / "mine/masks/one.png", mask_of([0, 1]))
    (tmp_path / "mine/classes.yaml").write_text("classes: [{name: background}, {name: crack}]")
    arguments = ["data=folder", f"data.root={tmp_path}/mine", f"paths.logs={tmp_path}/logs"]
    monkeypatch.setattr("sys.argv", ["check_data", *arguments])
    with pytest.raises(SystemExit) as stop:
        check_data.main()
    assert stop.value.code == 2
    assert "a share of 0.2 of 1 pair is none; add images, or" in capsys.readouterr().err
    assert not [*tmp_path.rglob("logs/**/*.png"), *tmp_path.rglob("logs/**/*.json")]
