"""Parameters and multiply-adds: the released networks' to the digit, the paper's where they fit."""

import pytest
import torch

from segsuite.measure.operations import OperationCounter, count
from tests.hyctas.made import network, parameters

AS_RELEASED = "method.auxiliary_heads=fusions"


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("s", ("method/head=light",), 1_493_813),
        ("s", ("method/head=s4",), 1_510_805),
        (
            "s",
            ("method/head=light", "method.genotype.filters=12", "method.genotype.ends=12"),
            8_052_269,
        ),
        (
            "s",
            ("method/head=s4", "method.genotype.filters=16", "method.genotype.ends=12"),
            14_383_398,
        ),
        ("m", ("method/head=light",), 2_235_434),
        ("m", ("method/head=s4",), 2_258_186),
        ("m", ("method/head=s4s8",), 2_316_391),
        (
            "m",
            ("method/head=s4", "method.genotype.filters=12", "method.genotype.ends=12"),
            6_343_190,
        ),
        ("l", ("method/head=light",), 44_696_023),
        ("l", ("method/head=s4",), 44_794_423),
        ("l", ("method/head=s4s8",), 47_819_671),
        # With auxiliary heads.
        ("s", ("method/head=s4", "method.auxiliary_heads=trained"), 2_157_421),
        ("m", ("method/head=s4", "method.auxiliary_heads=trained"), 3_406_320),
        ("l", ("method/head=s4", "method.auxiliary_heads=trained"), 50_204_191),
        # The sibling code's head.
        (
            "s",
            ("method/head=lite", "method.gate=false", "method.auxiliary_heads=trained"),
            1_517_357,
        ),
        (
            "l",
            ("method/head=lite", "method.gate=false", "method.auxiliary_heads=trained"),
            43_146_863,
        ),
    ],
)
def test_parameters(name, overrides, expected):
    built = network(f"method/genotype={name}", AS_RELEASED, *overrides, meta=True)
    assert parameters(built) == expected


@pytest.mark.parametrize(
    ("name", "stem", "cells", "backbone", "unique"),
    [
        ("s", 32_976, 1_259_081, 1_460_697, 11),
        ("m", 58_065, 1_819_355, 2_176_193, 17),
        ("l", 518_976, 38_823_011, 42_807_971, 48),
    ],
)
def test_parts(name, stem, cells, backbone, unique):
    """The released backbone has the maps for auxiliary heads in it; ours stand beside it."""
    whole = network(f"method/genotype={name}", AS_RELEASED, meta=True)
    built = whole.backbone
    assert [parameters(p) for p in (built.stem, built.cells)] == [stem, cells]
    assert parameters(built) + parameters(whole.auxiliary_maps) == backbone
    assert len(built.cells) == unique


@pytest.mark.parametrize(
    ("name", "head", "released", "idle"),
    [
        ("s", "light", 9.22, 0.067),
        ("s", "s4", 11.59, 0.067),
        ("m", "light", 29.71, 0.119),
        ("m", "s4", 33.57, 0.119),
        ("m", "s4s8", 33.90, 0.119),
        ("l", "light", 510.5, 1.611),
        ("l", "s4", 579.9, 1.611),
        ("l", "s4s8", 607.8, 1.611),
    ],
)
def test_multiply_adds_but_for_what_nothing_reads(name, head, released, idle):
    """The released networks make maps for auxiliary heads in evaluation too."""
    built = network(f"method/genotype={name}", f"method/head={head}", meta=True).eval()
    with torch.no_grad(), OperationCounter(built) as counter:
        built.predict(torch.empty(1, 3, 1024, 2048, dtype=torch.uint8, device="meta"))
    assert counter.of("").gmacs + idle == pytest.approx(released, rel=0.001)


def gmacs_in_training(built, size):
    """Auxiliary heads included, as the paper counts L."""
    with torch.no_grad(), OperationCounter(built.train()) as counter:
        built(torch.empty(1, 3, *size, dtype=torch.uint8, device="meta"))
    return counter.of("").gmacs


def test_the_papers_counts_of_l():
    """524.8 G, the spec's count of 527.0; 72.7 G at 640x640 with 150 classes (table 5)."""
    lite = ("method/genotype=l", "method/head=lite", "method.gate=false")
    built = network(*lite, meta=True)
    assert gmacs_in_training(built, (1024, 2048)) == pytest.approx(524.8, rel=0.001)
    assert gmacs_in_training(built, (1024, 2048)) == pytest.approx(527.0, rel=0.005)
    small = network(*lite, classes=150, meta=True).eval()
    image = torch.empty(1, 3, 640, 640, dtype=torch.uint8, device="meta")
    with torch.no_grad(), OperationCounter(small) as counter:
        small.predict(image)
    assert counter.of("").gmacs == pytest.approx(72.7, rel=0.005)


def test_counted_on_real_images_as_without_memory():
    built = network("method/genotype=s").eval()
    image = torch.randint(0, 256, (1, 3, 64, 128), dtype=torch.uint8)
    with torch.no_grad(), OperationCounter(built.to("meta")) as counter:
        built.predict(image.to("meta"))
    assert count(network("method/genotype=s").eval(), image).everything == counter.of("")


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("s", "s4", 1_595_345),
        ("m", "s4", 2_395_049),
        ("l", "s4", 47_939_867),
        ("s", "s4s8", None),
    ],
)
def test_parameters_with_an_instance_head(name, head, expected):
    """Of the released network with its head at 1/4; the stepwise one adds 93,948 to S."""
    kind = (f"method/genotype={name}", f"method/head={head}", AS_RELEASED)
    both = network(*kind, f"method/instance_head={head}", of="hyctas_panoptic", meta=True)
    if expected is None:
        expected = parameters(network(*kind, meta=True)) + 93_948
    assert parameters(both) == expected
