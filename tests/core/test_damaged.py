"""Checkpoints that have rotted, were cut or are no checkpoints: named by every reader."""

import os
import zipfile

import numpy as np
import pytest
import torch

from segsuite.core.archives import read_plain
from segsuite.core.checkpoint import network_from_checkpoint, read_checkpoint
from segsuite.core.errors import CheckpointError
from segsuite.core.files import written_whole
from segsuite.core.transfer import begin_with
from segsuite.engine.launch.rebuild import config_from_checkpoint
from segsuite.nn.backbones.weight_files import read_tensors, weights_file
from tests.core.damaged import damaged, faults, write_whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.ckpt"
    write_whole(path)
    return path


def test_every_damage_is_named_by_every_reader(whole):
    path, content = whole.with_name("damaged.ckpt"), read_checkpoint(whole)
    for what in damaged(whole, path, count=25, seed=0):
        assert list(faults(path, content, what)) == [], what


def test_a_bit_that_has_rotted_in_a_weight_is_found(tmp_path):
    path, values = tmp_path / "a.pth", torch.arange(1000.0)
    torch.save({"x.weight": values}, path)
    content = bytearray(path.read_bytes())
    content[content.index(values.numpy().tobytes()) + 100] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["x.weight"], values), "torch itself reads on"
    for read in (read_plain, read_checkpoint, read_tensors):
        with pytest.raises(CheckpointError, match=r"a\.pth is damaged: .* checksums .*Bad CRC-32"):
            read(path)


def test_a_bit_that_has_rotted_in_an_array_is_found(tmp_path):
    path, values = tmp_path / "a.npz", np.arange(1000.0)
    np.savez(path, x=values)
    content = bytearray(path.read_bytes())
    content[content.index(values.tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.npz cannot be read as weights: it is damaged"):
        read_tensors(path)
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(CheckpointError) as found:
        read_tensors(path)
    assert "allow_pickle" not in str(found.value)


def test_files_without_checksums_are_read_as_they_are(tmp_path):
    old, bare = tmp_path / "old.pth", tmp_path / "bare.pth"
    torch.save({"x": torch.ones(3)}, old, _use_new_zipfile_serialization=False)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    torch.save({"x": torch.ones(3)}, bare)
    torch.serialization.set_crc32_options(before)
    assert not zipfile.is_zipfile(old) and zipfile.is_zipfile(bare)
    for path in (old, bare):
        assert torch.equal(read_tensors(path)["x"], torch.ones(3)), path


def test_what_a_file_holds_beside_plain_types_is_named_and_nobody_is_told_to_run_it(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"network": torch.nn.Linear(2, 2)}, path)
    old = tmp_path / "old.ckpt"
    torch.save(torch.nn.Linear(2, 2), old, _use_new_zipfile_serialization=False)
    exported = tmp_path / "net.onnx"
    exported.write_bytes(b"\x08\x07")
    other = tmp_path / "notes.ckpt"
    other.write_text("not a checkpoint")
    for file, said in (
        (path, "more than plain types (torch.nn.modules.linear.Linear)"),
        (old, "more than plain types"),
        (exported, "is an ONNX file"),
        (other, "was not written by torch.save"),
    ):
        with pytest.raises(CheckpointError) as found:
            config_from_checkpoint([f"ckpt_path={file}"])
        assert said in str(found.value) and str(file) in str(found.value)
        assert "weights_only" not in str(found.value) and "\n" not in str(found.value)


def test_places_where_no_checkpoint_can_be_are_refused_without_waiting(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "loop.ckpt").symlink_to("loop.ckpt")
    (tmp_path / "gone.ckpt").symlink_to("nowhere.ckpt")
    os.mkfifo(tmp_path / "pipe.ckpt")
    for name, said in (
        ("run", "which is a folder; give .*run/checkpoints/best.ckpt"),
        ("loop.ckpt", "a symbolic link to loop.ckpt, which leads nowhere"),
        ("gone.ckpt", "a symbolic link to nowhere.ckpt, which leads nowhere"),
        ("pipe.ckpt", "a pipe or a device"),
        ("a" * 300 + ".ckpt", "File name too long"),
        (os.fsdecode(b"caf\xe9.ckpt"), "No such file"),
        ("nul\0.ckpt", "null"),
    ):
        path = tmp_path / name
        with pytest.raises(CheckpointError, match=f"no checkpoint at .*{said}"):
            read_checkpoint(path)
        with pytest.raises(CheckpointError, match="is no file; give an existing one"):
            weights_file(str(path), fetch=lambda _: pytest.fail("looked for on the hub"))


def test_names_as_long_as_a_file_system_takes_can_be_written(tmp_path):
    for name in ("a" * 245 + ".ckpt", "é" * 122 + ".ckpt"):
        with written_whole(tmp_path / name) as beside:
            assert beside.suffix == ".ckpt"
            beside.write_text("whole")
        assert (tmp_path / name).read_text() == "whole"


def test_weights_that_are_not_finite_are_refused_naming_file_and_tensor(whole):
    content = read_checkpoint(whole)
    name = "network.backbone.blocks.1.mlp.fc1.weight"
    content["state_dict"][name][3, 5] = torch.nan
    path = whole.with_name("diverged.ckpt")
    torch.save(content, path)
    said = r"diverged\.ckpt holds weights that are not finite: backbone.blocks.1.mlp.fc1.weight"
    with pytest.raises(CheckpointError, match=f"{said} is the first of 1 such"):
        network_from_checkpoint(path)
    network, _ = network_from_checkpoint(whole)
    with pytest.raises(CheckpointError, match=f"init_from=.*{said}"):
        begin_with(network, content, source=str(path))


@pytest.mark.parametrize("part", ["state_dict", "classes", "config"])
def test_a_part_that_is_missing_is_named(whole, part):
    content = read_checkpoint(whole)
    del content[part]
    path = whole.with_name("lacking.ckpt")
    torch.save(content, path)
    said = []
    for read in (network_from_checkpoint, lambda p: config_from_checkpoint([f"ckpt_path={p}"])):
        try:
            read(path)
        except CheckpointError as error:
            said.append(str(error))
    assert said and all(str(path) in text and part in text for text in said)


def test_a_target_that_is_refused_is_blamed_on_the_checkpoint(whole):
    content = read_checkpoint(whole)
    content["config"]["data"]["reader"] = {"_target_": "os.system"}
    path = whole.with_name("strange.ckpt")
    torch.save(content, path)
    with pytest.raises(CheckpointError) as found:
        config_from_checkpoint([f"ckpt_path={path}"])
    text = str(found.value)
    assert str(path) in text and "`data.reader._target_=os.system`" in text
    assert "allow=[" not in text and "only if you know who made it" in text
    config_from_checkpoint([f"ckpt_path={path}", "data=camvid"])  # nothing of it is made
    content["config"]["data"]["reader"] = {"_target_": "tests.core.parts.Trunk"}
    torch.save(content, path)
    config_from_checkpoint([f"ckpt_path={path}", "allow=[tests.]"])  # what the user trusts
