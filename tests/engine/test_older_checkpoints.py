"""Checkpoints of commit 9c9db4b, whose import paths have moved since, do as they did."""

import json
from pathlib import Path

import pytest
import torch

from segsuite import evaluate, export
from segsuite.core.checkpoint import network_from_checkpoint, save_checkpoint
from segsuite.core.moved import MOVED, today, with_targets_of_today
from segsuite.core.targets import locate
from tests.checkpoints import older
from tests.engine.entry_points import called

FORMER = sorted(path.stem for path in older.FOLDER.glob("*.json"))
CHANGED = {"segvit_hybrid": ("method.pruning.mode=static", "method.pruning.budgets=[0.5]")}
"""What is typed about one: it is changed as it always could be."""
EXPORTED = ("mobile_dpc",)


@pytest.fixture(params=FORMER)
def former(request, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / "last.ckpt"
    save_checkpoint(older.checkpoint(request.param), path)
    return request.param, path


def test_there_is_one_of_each_family():
    assert [name.split("_")[0] for name in FORMER] == ["essnet", "mobile", "segvit", "segvit"]


def test_a_former_checkpoint_answers_as_it_did(former):
    name, path = former
    network, _ = network_from_checkpoint(path)
    found, expected = older.answer(network).flatten(), older.expected(name)
    assert found.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_former_checkpoint_is_evaluated_and_exported(former, tmp_path, capsys):
    name, path = former
    common = [f"ckpt_path={path}", f"hydra.run.dir={tmp_path}"]
    limited = ["trainer=cpu", "trainer.limit_val_batches=1", "data.num_workers=0"]
    assert called(evaluate.main, *common, *limited, *CHANGED.get(name, ())) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= result["metrics"]["val/miou"] <= 1
    if name in EXPORTED:
        pytest.importorskip("onnxruntime")
        arguments = ["size=[64,96]", "formats=[onnx]"]
        assert called(export.main, *common, *arguments) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert result["files"]["onnx"]["parity"]["agreement"] > 0.999


def test_paths_that_have_moved_are_those_of_modules_and_of_what_is_in_them(monkeypatch):
    monkeypatch.setitem(MOVED, "segsuite.nn.former", "segsuite.nn.norms")
    monkeypatch.setitem(MOVED, "segsuite.nn.heads.Old", "segsuite.nn.norms.Norms")
    assert today("segsuite.nn.former.make") == "segsuite.nn.norms.make"
    assert today("segsuite.nn.heads.Old") == "segsuite.nn.norms.Norms"
    assert today("segsuite.nn.formerly.make") == "segsuite.nn.formerly.make"
    assert with_targets_of_today(
        {"a": [{"_target_": "segsuite.nn.former.make", "b": "segsuite.nn.former.make"}]}
    ) == {"a": [{"_target_": "segsuite.nn.norms.make", "b": "segsuite.nn.former.make"}]}


@pytest.mark.parametrize("old", MOVED)
def test_whatever_has_moved_is_where_the_table_says(old):
    new = MOVED[old]
    assert today(new) == new, "one step each"
    if new.rpartition(".")[2][0].isupper():
        assert locate(old) is locate(new)
    else:
        __import__(new)
