import re
from types import SimpleNamespace

import pytest
import torch

from segsuite.core.errors import CheckpointError
from segsuite.methods.segvit.attention_to_mask import AtmCascade, AtmSingle
from segsuite.methods.segvit.import_mmseg import load_segvit
from segsuite.nn.backbones.vit import VisionTransformer
from tests.reference.vit_layouts import as_mmseg, with_classifier

IN, DIM, K = 12, 8, 4
SMALL = {"in_dim": IN, "dim": DIM, "num_classes": K, "heads": 2, "layers": 2}


def network(head, exits=0):
    """What `load_segvit` needs of a network: DToP's has an exit for each auxiliary head."""
    torch.manual_seed(0)
    scorers = [SimpleNamespace(head=AtmSingle(**SMALL).eval()) for _ in range(exits)]
    backbone = VisionTransformer(dim=IN, depth=1, heads=3, image_size=(32, 32)).eval()
    pruning = SimpleNamespace(scorers=scorers) if exits else None
    return SimpleNamespace(backbone=backbone, head=head.eval(), pruning=pruning)


def shaken(head):
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def original(head, prefix):
    """A head's weights as the original repositories name them."""
    found = {f"{prefix}loss_decode.criterion.empty_weight": torch.ones(2)}
    renames = {
        r"^queries$": "q.weight",
        r"^classify\.": "class_embed.",
        r"^stage\.project\.": "input_proj.",
        r"^stage\.norm\.": "proj_norm.",
        r"^stage\.layers\.": "decoder.layers.",
        r"^stages\.(\d+)\.project\.": r"input_proj_\1.",
        r"^stages\.(\d+)\.norm\.": r"proj_norm_\1.",
        r"^stages\.(\d+)\.layers\.": r"decoder_\1.layers.",
        r"self_attention\.qkv\.": "self_attn.in_proj_",
        r"self_attention\.proj\.": "self_attn.out_proj.",
        r"cross_attention\.": "multihead_attn.",
        r"\.fc([12])\.": r".linear\1.",
    }
    for name, weight in head.state_dict().items():
        for pattern, replacement in renames.items():
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"_(\d)\.", lambda match: f"_{int(match[1]) + 1}.", name, count=1)
        if ".kv." in name:
            for part, half in zip("kv", weight.chunk(2), strict=True):
                found[prefix + name.replace(".kv.", f".{part}.")] = half
        else:
            found[prefix + name] = weight
    return found


def backbone_state(seed):
    torch.manual_seed(seed)
    backbone = VisionTransformer(dim=IN, depth=1, heads=3, image_size=(32, 32))
    return as_mmseg(with_classifier(backbone.state_dict(), IN))


def test_dtop_heads_find_their_places(tmp_path):
    heads = [shaken(AtmSingle(**SMALL).eval()) for _ in range(3)]
    state = backbone_state(1)
    for head, prefix in zip(
        heads, ("auxiliary_head.0.", "auxiliary_head.1.", "decode_head."), strict=True
    ):
        state |= original(head, prefix)
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "dtop.pth")
    ours = network(AtmSingle(**SMALL), exits=2)
    report = load_segvit(ours, tmp_path / "dtop.pth")
    tokens = torch.randn(2, 6, IN)
    loaded = [*(scorer.head for scorer in ours.pruning.scorers), ours.head]
    for head, copy in zip(heads, loaded, strict=True):
        assert torch.equal(copy(tokens).masks, head(tokens).masks)
        assert torch.equal(copy(tokens).classes, head(tokens).classes)
    projection = state["backbone.patch_embed.projection.weight"]
    assert torch.equal(ours.backbone.patch_embed.proj.weight, projection)
    assert "2 exit heads, of 2" in report


def test_segvit_v1_stages_are_numbered_from_the_deepest(tmp_path):
    head = shaken(AtmCascade(**SMALL, stages=3).eval())
    state = {
        f"module.{n}": t for n, t in (backbone_state(2) | original(head, "decode_head.")).items()
    }
    assert "module.decode_head.input_proj_1.weight" in state
    torch.save({"state_dict": state}, tmp_path / "segvit.pth")
    ours = network(AtmCascade(**SMALL, stages=3))
    load_segvit(ours, tmp_path / "segvit.pth")
    features = [torch.randn(1, 6, IN) for _ in range(3)]
    for mine, theirs in zip(ours.head(features), head(features), strict=True):
        assert torch.equal(mine.masks, theirs.masks) and torch.equal(mine.classes, theirs.classes)


def test_heads_without_query_attention_are_refused_by_name(tmp_path):
    """The "V2" heads of the DToP repository have neither self_attn nor norm1."""
    state = backbone_state(3) | original(AtmSingle(**SMALL), "decode_head.")
    state = {n: t for n, t in state.items() if "self_attn" not in n and "norm1" not in n}
    torch.save({"state_dict": state}, tmp_path / "v2.pth")
    with pytest.raises(
        CheckpointError, match=r"decode_head of .*v2.pth .*12 missing \(stage.layers"
    ):
        load_segvit(network(AtmSingle(**SMALL)), tmp_path / "v2.pth")


def test_exits_that_the_file_lacks_are_named(tmp_path):
    state = backbone_state(4) | original(AtmSingle(**SMALL), "decode_head.")
    torch.save({"state_dict": state}, tmp_path / "segvit.pth")
    with pytest.raises(CheckpointError, match=r"auxiliary_head.0 of .* missing"):
        load_segvit(network(AtmSingle(**SMALL), exits=1), tmp_path / "segvit.pth")


def test_a_backbone_alone_is_no_segvit_checkpoint(tmp_path):
    torch.save({"backbone.x": torch.ones(1)}, tmp_path / "vit.pth")
    with pytest.raises(CheckpointError, match=r"no decode_head"):
        load_segvit(network(AtmSingle(**SMALL)), tmp_path / "vit.pth")
