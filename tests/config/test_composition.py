"""Every config file can be chosen, fits the constructors, and every experiment runs on all data."""

import functools
import re

import pytest
import timm
import torch
import yaml

from segsuite.core.build import build, check
from segsuite.core.config import CONF, methods_of
from segsuite.core.sizes import check_size
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.run import Run
from segsuite.engine.training import check_arguments
from tests.config.composed import (
    DATA,
    ENTRY_POINTS,
    EXPERIMENTS,
    LIBRARIES,
    PARTS,
    composed,
    own_data,
)

NEEDS = {
    "runtime=command": ["runtime.command=time {file}", "runtime.where=here"],
    "method/pruning/scorer": ["method/pruning=exits"],
    "method/backbone=timm": ["method.backbone.name=resnet18"],
    "sweep=hyctas_distortions": ["experiment=hyctas_l_cityscapes", "data=scenes"],
    "sweep=mobile_heads": ["experiment=mobile_dpc_coco9", "data=scenes"],
    "sweep=random_architectures": ["experiment=hyctas_m_cityscapes", "data=scenes"],
    "sweep": ["experiment=cts_dtop_vitt", "data=scenes"],
}
"""What must be chosen beside an option of some groups."""

ELSEWHERE = {
    "scores": ("evaluate", "scores"),
    "submission": ("evaluate", "submission"),
    "probe": ("benchmark", "probe"),
    "method/search": ("search", "strategy"),
    "runtime": ("search", "runtime"),
}
"""Groups of other entry points than training, and where in the config they stand."""

CLASSES = {
    "camvid": 11,
    "ade20k": 150,
    "folder": 2,
    "voc": 21,
    "voc_aug": 21,
    "coco_stuff10k": 171,
    "coco_stuff164k": 171,
    "coco_lvis": 1284,
    "coco9": 10,
    "coco_panoptic": 133,
}


@pytest.fixture(scope="module")
def encoders():
    """The policies' encoders, each built once: they take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", functools.cache(timm.create_model))
        yield


@pytest.mark.usefixtures("encoders")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_fits_its_own_data_set_and_others(experiment, tmp_path):
    """CamVid's images are small and not square; a folder has as many classes as its user says.
    Each experiment takes one of them, and each of a family another."""
    for data in (None, ("camvid", "folder")[EXPERIMENTS.index(experiment) % 2]):
        others = [] if data is None else [f"data={data}"]
        cfg = composed(f"experiment={experiment}", *others, root=own_data(tmp_path))
        check_arguments(Run(cfg))
        _one_number_of_classes(cfg)
        assert data is None or cfg.data.num_classes == {"camvid": 11, "folder": 2}[data]
        if data is None:
            if library := LIBRARIES.get(experiment):
                pytest.importorskip(library)
            _network_can_be_built(cfg)


def _network_can_be_built(cfg):
    with torch.device("meta"):  # without memory for weights
        network = build(cfg.method.network, path="method.network")
    check_size(tuple(cfg.data.crop_size), network.size_divisor)
    assert sum(parameter.numel() for parameter in network.parameters()) > 1e5


@pytest.mark.parametrize("data", DATA)
def test_every_data_set_fits_every_family(data, tmp_path):
    families = ("cts_dtop_vitb", "essnet_ade20k_resnet50", "mobile_dpc_cityscapes_fine")
    for experiment in families if data == DATA[0] else families[DATA.index(data) % 3 :][:1]:
        cfg = composed(f"experiment={experiment}", f"data={data}", root=own_data(tmp_path))
        check_arguments(Run(cfg))
        _one_number_of_classes(cfg)
        assert cfg.data.num_classes == CLASSES.get(data, 19)


def _one_number_of_classes(cfg):
    """One fact stands once."""
    network = cfg.method.network
    if "num_classes" in network:
        assert network.num_classes == cfg.data.num_classes
    if "num_classes" in network.get("head", {}):
        assert network.head.num_classes == cfg.data.num_classes


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_chosen(part, tmp_path):
    """Parts of methods in each that they fit: backbones of ESSNet are none of SegViT's."""
    group, _, choice = part.partition("=")
    if group in ELSEWHERE:
        entry_point, key = ELSEWHERE[group]
        cfg = compose(entry_point, [part, *NEEDS.get(part, [])])
        cfg.run.folder = "some"
        return check(cfg[key], path=key)
    root = own_data(tmp_path) if group == "data" else None
    needed = NEEDS.get(part, NEEDS.get(group, []))
    if not group.startswith("method/"):
        return check_arguments(Run(composed(*needed, part, root=root)))
    methods = methods_of(group, choice)
    assert methods
    method = methods[PARTS.index(part) % len(methods)]  # of several one, of each group all
    check_arguments(Run(composed(f"method={method}", *needed, part)))


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_every_entry_point_composes(entry_point):
    assert compose(entry_point).run.folder is None


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_says_what_it_is(experiment):
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert header[0] == "# @package _global_" and len(header) > 2
    assert yaml.safe_load(text)["name"] == experiment
    commands = re.findall(r"experiment=(\w+)", "\n".join(header))
    assert experiment in commands and set(commands) <= set(EXPERIMENTS)


def test_every_file_has_a_headline():
    for path in CONF.rglob("*.yaml"):
        lines = path.read_text().splitlines()
        if path.parent.name != "backbone":  # their names say all
            assert lines[0].startswith("# "), path


@pytest.mark.parametrize(
    "sharing", ["none", "cts_small", "random", "oracle", "cosine", "deviation", "entropy"]
)
def test_an_experiment_leaves_no_key_of_its_own_sharing_behind(sharing, tmp_path):
    typed = ("experiment=cts_dtop_vitt_camvid", f"method/sharing={sharing}")
    check_arguments(Run(composed(*typed, root=own_data(tmp_path))))
