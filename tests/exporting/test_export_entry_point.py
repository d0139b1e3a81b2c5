"""The entry point as typed: files, a report, one line of JSON; and mistakes in one paragraph."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import open_dict

from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint
from segsuite.export import main as export
from segsuite.exporting.formats import formats
from segsuite.runtime.onnx_model import OnnxModel
from tests.engine.entry_points import called
from tests.engine.wandb_files import quiet, read, runs
from tests.exporting.made import SIZE, Small, Unknown, small

SCENES = (
    *("data=scenes", f"data.crop_size=[{SIZE[0]},{SIZE[1]}]", "data.num_workers=0"),
    "data.reader.lengths={train: 20, val: 3}",
)


def checkpoint(path: Path, kind: type[Small], *, iteration: int = 0) -> Path:
    """A checkpoint of a small network as a training on drawn scenes would leave it."""
    cfg = compose("train", [*SCENES, "allow=[tests.]"])
    with open_dict(cfg):
        cfg.method = {"network": {"_target_": f"tests.exporting.made.{kind.__name__}"}}
    classes = build(cfg.data, path="data").classes
    torch.save(as_checkpoint(cfg, small(kind), classes) | {"global_step": iteration}, path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A checkpoint that is only read."""
    return checkpoint(tmp_path_factory.mktemp("saved") / "a.ckpt", Small)


@pytest.fixture
def typed(tmp_path, capfd):
    """Goes through the entry point; exit code, what was printed, and the files that are there."""

    def through(*arguments: str) -> tuple[int, str, str, list[str]]:
        logs = (f"paths.logs={tmp_path / 'logs'}", f"output_folder={tmp_path / 'files'}")
        code = called(export, *arguments, *logs, "allow=[tests.]", "name=net")
        out, err = capfd.readouterr()
        return code, out, err, sorted(p.name for p in (tmp_path / "files").glob("*"))

    return through


def test_a_checkpoint_becomes_files_with_their_miou(typed, tmp_path, monkeypatch):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)

    def one_that_carries_nothing(names):
        plain, int8 = formats(names)
        return [plain, replace(int8, carries=False)]  # as ExecuTorch and LiteRT

    quiet(monkeypatch)
    monkeypatch.setattr("segsuite.exporting.export.formats", one_that_carries_nothing)
    path = checkpoint(tmp_path / "a.ckpt", Small, iteration=7)
    code, out, _, files = typed(
        *(f"ckpt_path={path}", "formats=[onnx,onnx_int8]", "accuracy.images=2", "logger=wandb")
    )
    assert code == 0 and files == ["net.int8.onnx", "net.int8.onnx.json", "net.onnx"]
    trained = torch.load(path)["classes"]
    assert "mIoU: on 2 of 3 validation images" in out
    for name in ("net.onnx", "net.int8.onnx"):
        about = OnnxModel(tmp_path / "files" / name).description
        assert about.iteration == 7 and about.int8 == ("int8" in name) and about.network == "net"
        assert about.classes.to_dict() == trained
    beside = json.loads((tmp_path / "files" / "net.int8.onnx.json").read_text())
    assert beside == about.to_dict()
    said = json.loads(out.splitlines()[-1])
    assert said["trained"] and said["size"] == list(SIZE)
    plain, int8 = said["files"]["onnx"], said["files"]["onnx_int8"]
    assert plain["parity"]["agreement"] >= 0.9999 and plain["parity"]["images"] == 3
    assert plain["miou"] == pytest.approx(said["miou"], abs=1e-4)
    assert int8["miou"] is not None and int8["parity"]["difference"] > 0
    (of_wandb,) = map(read, runs(tmp_path))
    (row,) = of_wandb["rows"].values()
    assert of_wandb["job_type"] == "export" and row["tables/record.nrows"] == 2


def test_random_weights_are_those_of_the_seed(typed, monkeypatch):
    made = []

    def noted(graph, path, images, **kind):
        made.append(torch.cat([weight.flatten() for weight in graph.state_dict().values()]))
        raise ConfigError("written is nothing")

    only = [replace(formats(["onnx"])[0], packages=(), write=noted)]
    monkeypatch.setattr("segsuite.exporting.export.formats", lambda names: only)
    line = ("experiment=mobile_basic_coco9", "method.backbone.weights=none", "size=[32,32]")
    for seed in (0, 0, 1):
        torch.manual_seed(7 + len(made))
        code, _, err, _ = typed(*line, "data=scenes", "parity.images=1", f"seed={seed}")
        assert code == 2 and "written is nothing" in err
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_what_a_runtime_cannot_take_leaves_nothing_behind(typed, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    path = checkpoint(tmp_path / "a.ckpt", Unknown)
    code, _, err, files = typed(f"ckpt_path={path}")
    assert code == 2 and "ONNX knows no operator for" in err and "Traceback" not in err
    assert files == []


def test_a_parity_that_fails_leaves_nothing_behind(typed, saved):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    code, _, err, files = typed(f"ckpt_path={saved}", "parity.difference=-1")
    assert code == 2 and "net.onnx differs from the network" in err
    assert files == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give ckpt_path=FILE, or experiment=NAME"),
        (["ckpt_path=a", "experiment=b"], "not both"),
        (["experiment=mobile_dpc_cityscapes_fnie"], "did you mean `mobile_dpc_cityscapes_fine`"),
        (["ckpt_path=/nowhere.ckpt"], "no checkpoint at /nowhere.ckpt"),
        (["{}", "output=label"], "did you mean `labels`"),
        (["{}", "formats=[onxx]"], "did you mean `onnx`"),
        (["{}", "formats=onnx"], "type formats=[onnx]"),
        (["{}", "size=96"], "type size=[96,96]"),
        (["{}", "parity.images=0"], "parity.images=0"),
        (["{}", "formats=[onnx_int8]", "calibration.least=21"], "20 images are too few"),
        (["{}", "calibration.images=8"], "calibration.images=8 would change nothing"),
        (["{}", "accuracy.images=8"], "type accuracy.measure=true too"),
        (["{}", "formats=[onnx_int8]", "parity.agreement=1"], "would change nothing"),
        (["{}", "parity.instances=0.99"], "would change nothing: the network gives classes alone"),
    ],
)
def test_mistakes_end_in_one_paragraph(typed, saved, arguments, said):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    code, _, err, files = typed(*(a.replace("{}", f"ckpt_path={saved}") for a in arguments))
    assert code == 2 and said in err and "Traceback" not in err, err
    assert files == []
