import copy

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import ConfigError
from segsuite.nn.backbones.positions import resize_position
from segsuite.nn.backbones.vit import DropPath, VisionTransformer
from segsuite.nn.normalize import Normalize
from segsuite.ops.patches import patchify
from tests.reference.vit_layers import vit_block


def tiny(**changes):
    torch.manual_seed(0)
    plain = {"dim": 24, "depth": 3, "heads": 3, "image_size": (48, 64)}
    return VisionTransformer(**plain | changes).eval()


def test_patches_are_what_a_convolution_sees():
    backbone = tiny()
    images = torch.randn(2, 3, 48, 64)
    convolved = backbone.patch_embed.proj(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(backbone.embed_patches(patchify(images, 16)), convolved)


def test_patchify_is_row_major():
    images = torch.arange(2 * 4 * 6).view(1, 2, 4, 6)
    patches = patchify(images, 2)
    assert patches.shape == (1, 6, 8)
    assert patches[0, 4].tolist() == images[0, :, 2:4, 2:4].flatten().tolist()


@pytest.mark.parametrize("more", [0, 5])
def test_a_block_equals_the_plain_equations(more):
    torch.manual_seed(1)
    block = tiny().double().blocks[1]
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, context = torch.randn(2, 7, 24).double(), torch.randn(2, more, 24).double()
    mask = torch.rand(2, 7 + more) < 0.6
    mask[:, 0] = True
    ours = block(x, context if more else None, mask)
    weights = block.state_dict()
    theirs = [vit_block(weights, x[b], 3, context[b], mask[b]) for b in range(2)]
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=1e-10, atol=1e-10)


def test_keys_that_are_masked_out_might_as_well_not_be_there():
    block = tiny().blocks[0]
    x = torch.randn(2, 9, 24)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[:, 6:] = False
    torch.testing.assert_close(block(x, None, mask)[:, :6], block(x[:, :6]))


def test_context_is_the_same_as_tokens_whose_update_is_thrown_away():
    block = tiny().blocks[0]
    x = torch.randn(2, 9, 24)
    torch.testing.assert_close(block(x[:, :5], x[:, 5:]), block(x)[:, :5])


def test_a_whole_network_equals_timms():
    timm_vit = pytest.importorskip("timm.models.vision_transformer")
    ours = tiny(dim=48)
    theirs = timm_vit.VisionTransformer(
        img_size=(48, 64),
        embed_dim=48,
        depth=3,
        num_heads=3,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
        num_classes=0,
    ).eval()
    report = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert set(report.missing_keys) == {"norm.weight", "norm.bias"} and not report.unexpected_keys
    theirs.norm = torch.nn.Identity()
    images = torch.randn(2, 3, 48, 64)
    torch.testing.assert_close(ours(images), theirs.forward_features(images))


def test_positions_at_the_own_grid_are_the_parameter_itself():
    backbone = tiny()
    assert backbone.position((3, 4)) is backbone.pos_embed


def test_positions_are_resized_by_cubic_convolution_without_antialiasing():
    """Halving an axis at a = -0.75 weighs the four nearest by (a, 4 - a, 4 - a, a) / 8."""
    ramp = torch.tensor([0.0, 1, 4, 9, 16, 25, 36, 49]).view(1, 8, 1)
    halved = resize_position(ramp, (1, 8), (1, 4)).flatten()
    a = -0.75
    weights = torch.tensor([a, 4 - a, 4 - a, a]) / 8
    inner = torch.stack([(ramp.flatten()[i : i + 4] * weights).sum() for i in (1, 3)])
    torch.testing.assert_close(halved[1:3], inner)
    antialiased = F.interpolate(
        ramp.view(1, 1, 1, 8), size=(1, 4), mode="bicubic", align_corners=False, antialias=True
    )
    assert not torch.allclose(antialiased.flatten()[1:3], inner, atol=1e-3)


def test_other_image_sizes_work_and_gradients_reach_the_positions():
    backbone = tiny()
    tokens = backbone(torch.randn(1, 3, 80, 32))
    assert tokens.shape == (1, 10, 24)
    tokens.sum().backward()
    assert backbone.pos_embed.grad.abs().sum() > 0


def test_drop_path_grows_with_depth_and_sits_where_it_should():
    on_mlp, on_both = tiny(drop_path=0.2), tiny(drop_path=0.2, drop_path_on="both")
    assert [block.drop2.probability for block in on_mlp.blocks] == pytest.approx([0, 0.1, 0.2])
    assert not any(isinstance(block.drop1, DropPath) for block in on_mlp.blocks)
    assert [block.drop1.probability for block in on_both.blocks] == pytest.approx([0, 0.1, 0.2])
    x = torch.randn(2, 5, 24)
    torch.testing.assert_close(on_mlp.blocks[2](x), on_both.blocks[2](x))  # none in evaluation


def test_drop_path_drops_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    out = DropPath(0.25).train()(torch.ones(4000, 3, 2))
    values = out.flatten(1).unique(dim=1)
    assert values.shape[1] == 1
    torch.testing.assert_close(values.unique(), torch.tensor([0, 4 / 3]))
    assert out.mean() == pytest.approx(1, abs=0.03)


def test_construction_is_the_same_for_the_same_seed_and_copies_are_independent():
    first, second = tiny(), tiny()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert copy.deepcopy(first).pos_embed is not first.pos_embed


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match=r"data.crop_size=\[48, 64\]"):
        tiny(image_size=(48, 65))
    with pytest.raises(ConfigError, match=r"method.backbone.heads=5 .* method.backbone.dim=24"):
        tiny(heads=5)


def test_it_exports_with_static_shapes():
    backbone = tiny()
    images = torch.randn(1, 3, 64, 64)
    program = torch.export.export(backbone, (images,))
    torch.testing.assert_close(program.module()(images), backbone(images))


@pytest.mark.parametrize("kind", [torch.uint8, torch.float])
def test_normalize(kind):
    images = torch.randint(0, 256, (2, 3, 4, 5)).to(kind)
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    normalized = Normalize(mean=mean, std=std)(images)
    center, spread = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    expected = (images.double() - center) / spread
    torch.testing.assert_close(normalized.double(), expected, rtol=1e-5, atol=1e-6)
    assert not Normalize(mean=mean, std=std).state_dict()
