"""The encoder: torchvision's features and weights, at any output stride."""

import pytest
import torch
import torchvision
from torch import nn

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.nn.backbones.shufflenet_v2 import ShuffleNetV2, shuffled, stage_plan
from tests.mobile.made import stirred

WIDTHS = {0.5: "x0_5", 1.0: "x1_0", 1.5: "x1_5", 2.0: "x2_0"}


def torchvisions(width: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    return stirred(getattr(torchvision.models, f"shufflenet_v2_{WIDTHS[width]}")(weights=None))


def features(theirs: nn.Module, images: torch.Tensor) -> torch.Tensor:
    x = theirs.maxpool(theirs.conv1(images))
    return theirs.stage4(theirs.stage3(theirs.stage2(x)))


def dilated(theirs: nn.Module, first: int, rest: int) -> nn.Module:
    """torchvision's stage 4 at stride 1, by hand."""
    for unit in theirs.stage4:
        rate = first if unit is theirs.stage4[0] else rest
        for layer in unit.modules():
            if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                layer.stride, layer.dilation, layer.padding = (1, 1), (rate, rate), (rate, rate)
    return theirs


def ours(theirs: nn.Module, **how) -> ShuffleNetV2:
    built = ShuffleNetV2(**how)
    built.load_torchvision(theirs.state_dict(), source="torchvision's")
    return built.eval()


@pytest.mark.parametrize("width", sorted(WIDTHS))
def test_torchvisions_weights_give_torchvisions_features(width):
    theirs = torchvisions(width)
    images = torch.randn(2, 3, 97, 130, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = ours(theirs, width=width, output_stride=32)(images)[-1]
        expected = features(theirs, images)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("atrous", "rest"), [(True, 2), (False, 1)])
def test_the_same_weights_at_output_stride_16(atrous, rest):
    theirs = torchvisions()
    built = ours(theirs, output_stride=16, atrous=atrous)
    images = torch.randn(1, 3, 97, 129, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = built(images)[-1]
        expected = features(dilated(theirs, 1, rest), images)
    assert found.shape == (1, 464, 7, 9)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("stride", "plan"),
    [
        (32, [(2, 1, 1), (2, 1, 1), (2, 1, 1)]),
        (16, [(2, 1, 1), (2, 1, 1), (1, 1, 2)]),
        (8, [(2, 1, 1), (1, 1, 2), (1, 2, 4)]),
    ],
)
def test_strides_become_rates(stride, plan):
    assert stage_plan(stride) == plan
    defective = [(step, 1, 1) for step, *_ in plan]
    assert stage_plan(stride, atrous=False) == defective
    built = ShuffleNetV2(width=0.5, output_stride=stride).eval()
    depthwise = [
        [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        for stage in built.stages
    ]
    found = [
        (layers[0].stride[0], layers[0].dilation[0], layers[-1].dilation[0]) for layers in depthwise
    ]
    assert found == plan
    with torch.inference_mode():
        assert built(torch.zeros(1, 3, 65, 97))[-1].shape[2:] == (
            64 // stride + 1,
            96 // stride + 1,
        )


def test_channels_take_turns():
    pair = [torch.tensor([0.0, 1, 2]).view(1, 3, 1, 1), torch.tensor([3.0, 4, 5]).view(1, 3, 1, 1)]
    assert shuffled(*pair).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_the_layout_in_memory_stays_and_changes_nothing():
    pair = torch.randn(2, 2, 6, 5, 4)
    last = [half.contiguous(memory_format=torch.channels_last) for half in pair]
    found = shuffled(*last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, shuffled(*pair)) and shuffled(*pair).is_contiguous()
    built = ours(torchvisions(0.5), width=0.5)
    images = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        expected = built(images)[-1]
        found = built(images.contiguous(memory_format=torch.channels_last))[-1]
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_weights_from_a_file(tmp_path):
    theirs = torchvisions(0.5)
    torch.save(theirs.state_dict(), tmp_path / "own.pth")
    built = ShuffleNetV2(width=0.5, weights=str(tmp_path / "own.pth"))
    built.load_initial_weights()
    assert torch.equal(built.stem.conv.weight, theirs.conv1[0].weight)
    last = built.stages[2][3].main[2].norm.running_var
    assert torch.equal(last, theirs.stage4[3].branch2[6].running_var)
    grouped = ShuffleNetV2(width=0.5, norm="gn16", weights=str(tmp_path / "own.pth"))
    grouped.load_initial_weights()
    assert torch.equal(grouped.stem.norm.weight, theirs.conv1[1].weight)


def test_weights_that_do_not_fit_are_refused():
    state = torchvisions(0.5).state_dict()
    with pytest.raises(CheckpointError, match="of another shape"):
        ShuffleNetV2(width=1.0).load_torchvision(state, source="half")
    with pytest.raises(CheckpointError, match=r"stages\.0\.0\.main\.0"):
        ShuffleNetV2(narrow=True).load_torchvision(torchvisions().state_dict(), source="wide")
    with pytest.raises(CheckpointError, match=r"layer1\.weight, which is no weight of torch"):
        ShuffleNetV2(width=0.5).load_torchvision({"layer1.weight": state["fc.bias"]}, source="x")
    short = dict(list(state.items())[:60])
    with pytest.raises(CheckpointError, match="missing"):
        ShuffleNetV2(width=0.5).load_torchvision(short, source="half")


def test_what_is_not_known_is_named():
    with pytest.raises(ConfigError, match=r"width=0\.7 is not one of 0\.5, 1\.0, 1\.5, 2\.0"):
        ShuffleNetV2(width=0.7)
    with pytest.raises(ConfigError, match=r"weights=IMAGENET1K.*IMAGENET1K_V1"):
        ShuffleNetV2(weights="IMAGENET1K").load_initial_weights()


def test_cached_weights_are_found_by_their_name(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    theirs = torchvisions(0.5)
    (tmp_path / "checkpoints").mkdir()
    torch.save(theirs.state_dict(), tmp_path / "checkpoints" / "shufflenetv2_x0.5-f707e7126e.pth")
    built = ShuffleNetV2(width=0.5, weights="IMAGENET1K_V1")
    built.load_initial_weights()
    assert torch.equal(built.stem.conv.weight, theirs.conv1[0].weight)


def test_weights_out_of_reach_are_said_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("segsuite.nn.backbones.hub._unreachable", lambda *_: "no route")
    with pytest.raises(CheckpointError, match=r"no route.*type method\.backbone\.weights=none"):
        ShuffleNetV2(weights="IMAGENET1K_V1").load_initial_weights()
