"""Checkpoints are whole or absent, rebuild themselves, and refuse what does not fit."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from segsuite.core import files
from segsuite.core.checkpoint import (
    checkpoint_config,
    load_weights,
    network_from_checkpoint,
    network_state,
    read_checkpoint,
    same_method,
    save_checkpoint,
)
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.files import folder_written_whole, write_json, written_whole

ROOT = Path(__file__).parents[2]
CONFIG = {
    "method": {
        "network": {
            "_target_": "segsuite.nn.backbones.vit.VisionTransformer",
            "dim": 8,
            "depth": 1,
            "heads": 2,
            "image_size": [32, 32],
        }
    }
}


@pytest.fixture(scope="module")
def network():
    from segsuite.nn.backbones.vit import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(dim=8, depth=1, heads=2, image_size=(32, 32))


@pytest.fixture
def checkpoint(tmp_path, network) -> Path:
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path / "a.ckpt"
    save_checkpoint({"config": CONFIG, "state_dict": {**state, "loss.weight": torch.ones(1)}}, path)
    return path


def refused(call: Any, *arguments: Any, **keys: Any) -> str:
    with pytest.raises(CheckpointError) as found:
        call(*arguments, **keys)
    return str(found.value)


def test_the_network_comes_back_in_evaluation_mode(checkpoint, network):
    again, config = network_from_checkpoint(checkpoint)
    assert config == CONFIG and not again.training
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_file_that_is_not_there_or_cut_short_is_named(checkpoint):
    assert "no checkpoint at" in refused(read_checkpoint, checkpoint.with_name("b.ckpt"))
    assert "no checkpoint at" in refused(read_checkpoint, checkpoint.parent)
    whole = checkpoint.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        checkpoint.write_bytes(whole[:length])
        said = refused(read_checkpoint, checkpoint)
        assert str(checkpoint) in said and "cut short" in said and "\n" not in said


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "other.ckpt"
    torch.save(torch.nn.Linear(2, 2), path)  # a pickled object: weights_only refuses it
    assert "holds more than plain types" in refused(read_checkpoint, path)
    torch.save([1, 2], path)
    assert "holds a list, not a checkpoint" in refused(read_checkpoint, path)
    torch.save({"state_dict": {}}, path)
    said = refused(network_from_checkpoint, path)
    assert "carries no segsuite config" in said and "method.backbone.weights=FILE" in said
    torch.save({"config": {"trainer": {}}}, path)
    assert "carries no segsuite config" in refused(network_from_checkpoint, path)


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "torch.utils.collect_env.run", "command": "touch PWNED"},
        {
            "_target_": "torch.nn.Sequential",
            "_args_": [{"_target_": "torch.utils.collect_env.run", "command": "touch PWNED"}],
        },
        {
            "_target_": "segsuite.nn.backbones.weight_files.weights_file",
            "source": "touch PWNED",
            "fetch": {
                "_target_": "segsuite.core.targets.locate",
                "target": "torch.utils.collect_env.run",
                "allow": ["torch."],
            },
        },
        {"_target_": "segsuite.core.files.write_json", "content": {}, "path": "PWNED"},
        {
            **CONFIG["method"]["network"],
            "dim": {"_target_": "segsuite.engine.inference.video_output.VideoFile"},
        },
    ],
)
def test_what_a_strangers_checkpoint_may_name_does_nothing(tmp_path, monkeypatch, network):
    monkeypatch.chdir(tmp_path)
    save_checkpoint({"config": {"method": {"network": network}}, "state_dict": {}}, "a.ckpt")
    with pytest.raises((CheckpointError, ConfigError)) as found:
        network_from_checkpoint("a.ckpt")
    assert "allow=[" not in str(found.value), "no advice to trust a stranger"
    assert os.listdir() == ["a.ckpt"]


def test_weights_are_loaded_all_or_none(network):
    state = {name: value.clone() + 1 for name, value in network.state_dict().items()}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state["extra.weight"] = state.pop("blocks.0.norm1.bias")
    state["blocks.0.norm1.weight"] = torch.ones(9)
    said = refused(load_weights, network, state, source="a.ckpt")
    assert said == (
        "a.ckpt does not fit VisionTransformer: 1 missing (blocks.0.norm1.bias); 1 left over "
        "(extra.weight); 1 of another shape (blocks.0.norm1.weight (9,) for (8,))"
    )
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())


def test_many_faults_are_counted_and_few_shown(network):
    said = refused(load_weights, network, {}, source="a.ckpt")
    assert f"{len(network.state_dict())} missing" in said and said.count(".weight") <= 3
    assert ", ...)" in said


def test_only_the_network_is_taken_from_the_state(checkpoint, network):
    state = network_state(read_checkpoint(checkpoint), checkpoint)
    assert state.keys() == network.state_dict().keys()


def test_a_checkpoint_of_another_method_is_refused(checkpoint):
    content = read_checkpoint(checkpoint)
    same_method(content, CONFIG, checkpoint)
    other = {"method": {"network": {"_target_": "segsuite.methods.segvit.network.SegVit"}}}
    said = refused(same_method, content, other, checkpoint)
    assert "VisionTransformer" in said and "this run is of" in said and "SegVit" in said


def test_the_config_is_that_of_the_run(checkpoint):
    assert checkpoint_config(read_checkpoint(checkpoint), checkpoint) == CONFIG


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"miou": 1})
    with pytest.raises(TypeError):
        write_json(path, {"miou": object()})
    with pytest.raises(ZeroDivisionError), written_whole(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == '{\n  "miou": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_while_writing_leaves_the_whole_file_of_before(tmp_path):
    path = tmp_path / "deep" / "last.ckpt"
    write_json(path, {"step": 1})
    code = (
        "import sys, time; from segsuite.core.files import written_whole\n"
        "with written_whole(sys.argv[1]) as beside:\n"
        "    beside.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    line = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert path.read_text() == '{\n  "step": 1\n}\n'
    (left,) = set(path.parent.iterdir()) - {path}
    assert left.name.startswith(".last.") and ".part" in left.name  # never taken for a checkpoint
    with written_whole(path) as beside:
        beside.write_text("{}")
        files.remove_leftovers(path.parent)
    assert path.read_text() == "{}", "what is being written stays"
    assert list(path.parent.iterdir()) == [path]


def test_what_an_earlier_process_of_the_same_number_left_is_no_obstacle(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "_DRAWN", "0a1b2c")
        left = tmp_path / f".frames.{files._writer()}.part"
        left.mkdir()
    foreign = tmp_path / ".frames.another-host-1-0a1b2c.part"
    foreign.mkdir()
    with folder_written_whole(tmp_path / "frames") as beside:
        (beside / "1.jpg").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"frames", foreign.name}


def test_what_another_host_or_an_earlier_boot_left_goes_after_a_day(tmp_path):
    old, new = (tmp_path / f".last.gone-{number}-0a1b2c.part.ckpt" for number in (1, 2))
    theirs = tmp_path / ".download.part"  # no file of ours
    for path, hours in ((old, 25), (new, 23), (theirs, 25)):
        path.touch()
        os.utime(path, times=(time.time() - hours * 3600,) * 2)
    files.remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {new, theirs}


def test_a_host_is_known_by_its_whole_name_and_by_whose_processes_it_sees(monkeypatch):
    here = files._host()
    assert here == files._host() == files._HOST and re.fullmatch("[0-9a-f]{10}", here)
    with monkeypatch.context() as patch:  # another container of the same name
        patch.setattr(os, "readlink", lambda _: "pid:[1]")
        assert files._host() != here
    names = []
    for pod in ("segmentation-training-0", "segmentation-training-1"):
        monkeypatch.setattr(files.platform, "node", lambda pod=pod: pod)
        names.append(files._host())
    assert len(set(names)) == 2
