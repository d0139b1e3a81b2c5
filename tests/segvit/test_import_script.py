"""scripts/import_segvit.py, on weights that are made up in the original's layout."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.core.checkpoint import network_from_checkpoint, read_checkpoint
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.transfer import begin_with
from segsuite.engine.inference.candidates import from_checkpoint
from segsuite.methods.segvit.attention_to_mask import AtmSingle
from segsuite.nn.backbones.vit import VisionTransformer
from segsuite.predict import main as predict
from tests.reference.vit_layouts import as_mmseg, with_classifier
from tests.segvit.made import SMALL, called
from tests.segvit.test_import_mmseg import original, shaken

SCRIPT = Path(__file__).parents[2] / "scripts" / "import_segvit.py"
SCORER = (
    "+method.pruning.scorer.dim=16",
    "+method.pruning.scorer.heads=2",
    "data.crop_size=[64,64]",
)
DTOP = ("experiment=dtop_vitt", *SMALL, "method.pruning.after=[2,3]", *SCORER)
DENSE = ("experiment=segvit_vitt", *SMALL)


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> tuple[Path, dict[str, torch.nn.Module]]:
    """DToP's layout on a square grid, and the parts that it was made of."""
    torch.manual_seed(0)
    parts: dict[str, torch.nn.Module] = {
        "backbone": VisionTransformer(dim=24, depth=4, heads=2, image_size=(64, 64))
    }
    state = as_mmseg(with_classifier(parts["backbone"].state_dict(), 24))
    for prefix in ("decode_head.", "auxiliary_head.0.", "auxiliary_head.1."):
        parts[prefix] = shaken(AtmSingle(in_dim=24, dim=16, heads=2, num_classes=19)).eval()
        state |= original(parts[prefix], prefix)
    path = tmp_path_factory.mktemp("theirs") / "dtop.pth"
    torch.save({"state_dict": state, "meta": {}}, path)
    return path, parts


@pytest.fixture(scope="module")
def ours(script, theirs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "dtop.ckpt"
    assert "2 exit heads, of 2" in script["imported"](theirs[0], path, DTOP)
    return path


def test_the_checkpoint_rebuilds_the_network(theirs, ours):
    network, config = network_from_checkpoint(ours)
    tokens = torch.randn(2, 6, 24)
    copies = [network.head, *(scorer.head for scorer in network.pruning.scorers)]
    for copy, head in zip(copies, list(theirs[1].values())[1:], strict=True):
        assert torch.equal(copy(tokens).masks, head(tokens).masks)
    images = torch.rand(1, 3, 64, 64)
    blocks = theirs[1]["backbone"].eval()
    assert torch.allclose(network.backbone.eval()(images), blocks(images), atol=1e-5)
    assert config["method"]["backbone"]["weights"] == "none"
    assert read_checkpoint(ours)["classes"]["names"][0] == "road"


def test_the_entry_points_and_other_networks_read_it(ours, tmp_path):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    line = (f"ckpt_path={ours}", f"input={tmp_path / 'a.png'}", f"output={tmp_path / 'out'}")
    assert called(predict, *line, f"paths.logs={tmp_path}", "device=cpu") == 0
    assert Image.open(tmp_path / "out" / "masks" / "a.png").size == (60, 40)
    assert from_checkpoint(str(ours), size=(64, 96)).trained
    network, _ = network_from_checkpoint(ours)
    report = begin_with(network, read_checkpoint(ours), source=str(ours))
    assert report.fresh == report.left_over == ()


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        ((*DENSE, "data.num_classes=25"), CheckpointError, r"decode_head of .*queries \(19, 16\)"),
        ((*DTOP[:-3], "method/pruning/scorer=linear"), CheckpointError, "pruning/scorer=atm"),
        ((*DENSE, "method/sharing=cts_small"), ConfigError, "method.sharing.policy=FILE"),
        ((*DENSE, "method.hed=x"), ConfigError, "method.head"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    script, theirs, tmp_path, overrides, error, said
):
    with pytest.raises(error, match=said):
        script["imported"](theirs[0], tmp_path / "out.ckpt", overrides)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(theirs, tmp_path, capsys, monkeypatch):
    line = ["import_segvit", str(theirs[0]), str(tmp_path / "dense.ckpt"), *DENSE]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    said = capsys.readouterr().out
    assert "0 exit heads, of 2 in the file" in said and "dense.ckpt" in said.splitlines()[-1]
    monkeypatch.setattr(sys, "argv", [line[0], "absent.pth", *line[2:]])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    err = capsys.readouterr().err
    assert err.startswith("segsuite: error: no file absent.pth") and err.count("\n") == 1
