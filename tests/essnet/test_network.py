"""The network: parameters of the released code, predictions without a map of all classes."""

import pytest
import torch
import torch.nn.functional as F

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.engine.inference.modes import MultiScale, Slide, Whole
from segsuite.methods.essnet.predictions import EssnetPrediction
from segsuite.nn.backbones.feature_maps import FeatureMaps, load_body
from tests.essnet.made import logits, network, output


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "classes", "head", "dim", "whole"),
    [
        ("mobilenetv2", 19, "linear", 7, 5_225_203),
        ("mobilenetv2", 19, "embedding", 7, 5_222_252),
        ("resnet50", 150, "linear", 12, 39_794_998),
        ("resnet50", 150, "embedding", 12, 39_761_332),
        ("resnet50", 1284, "linear", 12, 40_086_436),
        ("resnet50", 1284, "embedding", 12, 39_774_940),
        ("resnet50", 1284, "embedding", 16, 39_781_104),
        ("resnet101", 19, "linear", 7, 58_753_459),
        ("resnet101", 19, "embedding", 7, 58_750_508),
    ],
)
def test_parameters_are_those_of_the_released_code(backbone, classes, head, dim, whole):
    with torch.device("meta"):
        built = network(
            *(f"method/head={head}", f"method.embedding_dim={dim}"),
            classes=classes,
            backbone=backbone,
        )
    assert parameters(built) == whole


@pytest.mark.parametrize(("backbone", "head"), [("mobilenetv2", 836_195), ("resnet50", 3_105_827)])
def test_parameters_of_the_separable_head(backbone, head):
    with torch.device("meta"):
        built = network("method.separable=true", "method/head=linear", backbone=backbone)
    assert parameters(built) - parameters(built.backbone) == head


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet18", "mobilenetv4_conv_small"])
def test_any_timm_network_at_the_stride_asked_for(name, stride):
    maps = FeatureMaps(name=name, output_stride=stride).eval()
    with torch.inference_mode():
        fine, deep = maps(torch.zeros(1, 3, 64, 96))
    assert fine.shape[1:] == (maps.channels[0], 16, 24)
    assert deep.shape[1:] == (maps.channels[1], 64 // stride, 96 // stride)


def test_networks_that_cannot_are_named():
    with pytest.raises(ConfigError, match=r"no network of timm.*did you mean"):
        FeatureMaps(name="resnet5O")
    with pytest.raises(ConfigError, match=r"type method\.output_stride=32"):
        FeatureMaps(name="efficientformer_l1", output_stride=8)


@pytest.mark.parametrize("norm", ["gn16", "syncbn"])
def test_norms_are_swapped_everywhere(norm):
    built = network(f"method.norm={norm}", "method.separable=true")
    kinds = {type(module) for module in built.modules()}
    assert torch.nn.BatchNorm2d not in kinds
    if norm == "gn16":
        built.train()(torch.rand(1, 3, 64, 64) * 255)  # one image is enough for groups
    else:
        assert torch.nn.SyncBatchNorm in {k for kind in kinds for k in kind.__mro__}


def test_one_image_cannot_train_batch_norms():
    with pytest.raises(ConfigError, match=r"data\.batch_size to 2.*method\.norm=gn16"):
        network().train()(torch.rand(1, 3, 64, 64) * 255)


def test_weights_of_the_same_network_load_by_name_and_by_order():
    from torchvision.models import resnet18

    theirs = resnet18(num_classes=3)
    maps = FeatureMaps(name="resnet18")
    load_body(maps.body, theirs.state_dict(), source="torchvision's")
    deepest = maps.body.state_dict()["layer4.1.conv2.weight"]
    assert torch.equal(deepest, theirs.state_dict()["layer4.1.conv2.weight"])

    renamed = {
        f"features.{place}.{name.rsplit('.', 1)[-1]}": weight
        for place, (name, weight) in enumerate(theirs.state_dict().items())
    }
    other = FeatureMaps(name="resnet18")
    load_body(other.body, renamed, source="renamed")
    assert torch.equal(other.body.state_dict()["layer4.1.conv2.weight"], deepest)

    grouped = FeatureMaps(name="resnet18", norm="gn16")
    for names in (theirs.state_dict(), renamed):
        load_body(grouped.body, names, source="with running statistics")
        assert torch.equal(grouped.body.state_dict()["layer4.1.conv2.weight"], deepest)

    short = dict(list(renamed.items())[:20])
    with pytest.raises(CheckpointError, match=r"method\.backbone\.weights=none"):
        load_body(other.body, short, source="short")


def test_weights_of_a_larger_network_are_refused():
    from torchvision.models import resnet34

    larger, maps = resnet34(num_classes=3).state_dict(), FeatureMaps(name="resnet18")
    renamed = {f"x.{n}.{name.rsplit('.', 1)[-1]}": w for n, (name, w) in enumerate(larger.items())}
    for tensors in (larger, renamed):
        with pytest.raises(CheckpointError, match=r"larger network|does not fit"):
            load_body(maps.body, tensors, source="resnet34")


def test_wide_features_meet_classes_at_native_stride(monkeypatch):
    from segsuite.methods.essnet import predictions

    out, size = output("dot", dim=40), (13, 17)
    expected = logits(out, size).argmax(3)
    assert torch.equal(EssnetPrediction(out).labels(size), expected)
    monkeypatch.setattr(predictions, "_COARSE", 1)  # as with very many classes
    assert torch.equal(EssnetPrediction(out).labels(size), expected)


def test_networks_that_put_channels_last():
    maps = FeatureMaps(name="swinv2_cr_tiny_ns_224", output_stride=32).eval()
    with torch.inference_mode():
        fine, deep = maps(torch.zeros(1, 3, 224, 224))
    assert fine.shape == (1, maps.channels[0], 56, 56)
    assert deep.shape == (1, maps.channels[1], 7, 7)


@pytest.mark.parametrize("normalize_after", [False, True])
@pytest.mark.parametrize("metric", ["dot", "sq", "l2"])
def test_labels_and_scores_are_those_of_all_logits(metric, normalize_after):
    if metric == "dot" and normalize_after:
        return
    out = output(metric, normalize_after=normalize_after)
    prediction, size = EssnetPrediction(out), (13, 17)
    dense = logits(out, size)
    assert torch.equal(prediction.labels(size), dense.argmax(3))
    shift = prediction.scores(size).permute(0, 2, 3, 1) - dense
    assert float(shift.std(dim=3).max()) < 1e-6, "equal up to a number per pixel"


@pytest.mark.parametrize("head", ["linear", "embedding"])
@pytest.mark.parametrize(
    "inference",
    [
        Whole(),
        Slide(window=[64, 64], stride=[40, 40]),
        MultiScale(scales=[1.0, 0.75], flip=True, base=Whole()),
    ],
    ids=["whole", "slide", "multiscale"],
)
def test_no_map_of_all_classes_is_ever_made(head, inference):
    """6,000 classes at 64x96 would be 147 MB; features of 256 channels are 6."""
    from segsuite.measure.memory import LiveBytes

    built = network(f"method/head={head}", "method.separable=true", classes=6000).eval()
    with torch.inference_mode(), LiveBytes() as live:
        (found,) = inference.labels(built, [torch.rand(3, 64, 96) * 255], [(64, 96)])
    assert found.shape == (64, 96) and found.max() < 6000
    assert live.peak < 70e6


@pytest.mark.parametrize("head", ["linear", "embedding"])
def test_averaged_evidence_of_copies_decides_as_averaged_logits(head):
    """For logits that are affine in the features, averages commute with classes."""
    built = network(f"method/head={head}", "method.separable=true").eval()
    image, size = torch.rand(3, 64, 96) * 255, (64, 96)
    multi = MultiScale(scales=[1.0], flip=True, base=Whole())
    with torch.inference_mode():
        (found,) = multi.labels(built, [image], [size])
        straight = built.predict(image[None]).scores(size)
        mirrored = built.predict(image[None].flip(-1)).scores(size).flip(-1)
    agreement = (found == (straight + mirrored).argmax(1)[0]).float().mean()
    assert agreement > 0.999


def test_a_hundred_thousand_classes():
    built = network(classes=100_000, backbone="mobilenetv2").train()
    from segsuite.methods.essnet.losses.exact import ExactLoss

    labels = torch.randint(0, 100_000, (2, 32, 32))
    loss = ExactLoss()(built(torch.rand(2, 3, 32, 32) * 255), labels)["ce"]
    loss.backward()
    assert float(loss) > 5 and built.head.embeddings.grad.abs().max() > 0
    with torch.inference_mode():
        assert built.eval().predict(torch.zeros(1, 3, 32, 32)).labels((32, 32)).shape == (1, 32, 32)


def test_pixels_of_unit_length_in_bfloat16():
    built = network("method.separable=true").eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        features = built(torch.rand(1, 3, 64, 64) * 255).features
    lengths = features.float().norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_weights_of_other_precisions(kind):
    """trainer.precision=bf16-true and 64-true: lengths are of float32 at least."""
    from segsuite.methods.essnet.losses.exact import ExactLoss

    built = network("method.separable=true").to(kind).eval()
    out = built(torch.rand(2, 3, 64, 64).to(kind) * 255)
    for lengths in (out.features.norm(dim=1), out.table.norm(dim=1)):
        torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=1e-5, rtol=0)
    ExactLoss()(out, torch.randint(0, 19, (2, 64, 64)))["ce"].backward()
    assert built.head.embeddings.grad.abs().max() > 0


def test_decoder_and_head_on_odd_sizes():
    built = network("method.separable=true").eval()
    with torch.inference_mode():
        labels = built.predict(torch.rand(1, 3, 65, 97) * 255).labels((65, 97))
    assert labels.shape == (1, 65, 97)
    assert F.one_hot(labels, 19).sum() == 65 * 97
