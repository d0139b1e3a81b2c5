"""README: trained networks on a named data set, their mIoU beside their speed, and by runtimes.

Exported files stand beside the networks that they are of.
"""

import json
from pathlib import Path

import pytest
import torch

from segsuite import benchmark, export, train
from segsuite.bench.comparison import _check_device
from segsuite.core import results
from segsuite.core.errors import ConfigError
from tests.engine.entry_points import called

SCENES = (
    *("data=scenes", "data.crop_size=[64,64]", "data.batch_size=2", "data.num_workers=0"),
    "data.reader.lengths={train: 4, val: 2}",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A micro ViT, trained for an iteration."""
    logs = tmp_path_factory.mktemp("logs")
    small = ("experiment=segvit_vitt", "method/backbone=vit_micro", "callbacks.images=null")
    short = ("trainer=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1")
    assert called(train.main, *small, *short, *SCENES, f"paths.logs={logs}", "name=small") == 0
    (last,) = logs.glob("train/small/*/checkpoints/last.ckpt")
    return last


@pytest.fixture(scope="module")
def file(checkpoint) -> Path:
    """The same network as an ONNX file."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder = checkpoint.parent.parent / "files"
    typed = (f"ckpt_path={checkpoint}", "formats=[onnx]", "size=[64,64]", "accuracy.measure=false")
    assert called(export.main, *typed, f"output_folder={folder}", f"paths.logs={folder}") == 0
    (path,) = folder.glob("*.onnx")
    return path


@pytest.fixture
def typed(checkpoint, tmp_path, capfd):
    """Types a benchmark; gives the exit status and what was printed."""

    def through(*typed: str, checkpoints: tuple[Path, ...] = (checkpoint,)) -> tuple[int, str, str]:
        compared = f"checkpoints=[{','.join(map(str, checkpoints))}]"
        capfd.readouterr()
        code = called(
            benchmark.main, compared, *SCENES, "images=1", f"paths.logs={tmp_path}", *typed
        )
        return code, *capfd.readouterr()

    return through


@pytest.fixture
def measured(typed):
    def measure(*given: str, **kind: tuple[Path, ...]) -> dict:
        code, out, err = typed(*given, **kind)
        assert code == 0, err
        return json.loads(out.splitlines()[-1])

    return measure


def test_checkpoints_alone_are_scored_on_the_data_that_are_named(measured):
    result = measured("size=[64,64]", "device=cpu", "rounds=2", "warm_up=1")
    (network,) = result["networks"].values()
    assert network["miou"]["images"] == 2 and 0 <= network["miou"]["miou"] <= 1


def test_runtimes_run_a_checkpoint_on_the_data_that_are_named(measured):
    typed = ("runtimes.names=[eager]", "runtimes.sizes=[[64,64]]", "runtimes.frames=2")
    result = measured("probe=runtimes", *typed)
    assert [row["runtime"] for row in result["rows"]] == ["eager"]


def test_a_file_takes_turns_with_its_network(measured, checkpoint, file, tmp_path):
    size = ("size=[64,64]", "device=cpu", "rounds=2", "warm_up=1", "batch_sizes=[1,2]")
    result = measured(*size, checkpoints=(checkpoint, file))
    network, exported = result["networks"].values()
    assert exported["trained"] and exported["num_classes"] == network["num_classes"]
    assert exported["miou"] == network["miou"]
    assert "gmacs" in network and "gmacs" not in exported
    for batch in ("1", "2"):
        of_file = exported["batch"][batch]
        assert of_file["network"] is None and of_file["peak_megabytes"] is None
        assert of_file["with_labels"]["rounds"] == 2
        assert network["batch"][batch]["network"]["times_as_fast"]["median"] == 1
    (claim,) = result["verdicts"]
    assert "with labels" in claim and file.name in claim
    assert any("run by ONNX Runtime as exported" in note for note in result["notes"])
    (written,) = tmp_path.rglob("result.json")
    entries = [e for e in results.read(written).entries if "file" in e.artefacts]
    assert [e.settings["batch"] for e in entries] == [1, 2]
    assert {"labels_ms", "labels_times_as_fast", "val/miou"} == entries[0].metrics.keys()


def test_files_alone_are_compared(measured, file, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(file.read_bytes())
    size = ("size=[64,64]", "device=cpu", "rounds=2", "warm_up=0", "batch_sizes=[1]")
    result = measured(*size, "accuracy.images=0", checkpoints=(file, other))
    assert all(n["batch"]["1"]["network"] is None for n in result["networks"].values())
    assert not list(tmp_path.rglob("breakdown.png"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("size=[32,64]",), "takes images of size=[64,64] alone"),
        (("probe=runtimes", "probe.sizes=[[64,64]]"), "makes the files of a network itself"),
    ],
)
def test_what_a_file_cannot_do_is_said(typed, file, given, said):
    code, _, err = typed(*given, checkpoints=(file,))
    assert code == 2 and said in " ".join(err.split())


def test_a_file_is_not_timed_beside_networks_on_a_gpu():
    _check_device(["a.ckpt", "b.onnx"], torch.device("cpu"))
    _check_device(["a.ckpt"], torch.device("cuda"))
    with pytest.raises(ConfigError, match=r"b\.onnx: exported files are run on the CPU"):
        _check_device(["a.ckpt", "b.onnx"], torch.device("cuda"))
