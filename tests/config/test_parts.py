"""Parts of a method go with those methods that they are for, and losses are typed at one place."""

from itertools import zip_longest
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf, open_dict

from segsuite.core.config import (
    CONF,
    as_today,
    check_choices,
    methods_of,
    options,
    parts_of,
)
from segsuite.core.errors import ConfigError
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.run import Run
from segsuite.engine.training import check_arguments
from segsuite.train import main as train
from tests.engine.entry_points import called

PARTS = [
    path.relative_to(CONF / "method").with_suffix("").as_posix()
    for path in sorted((CONF / "method").glob("*/**/*.yaml"))
    if path.parent.name != "search"  # of the entry point that searches, not of a method
]
METHODS = (
    *("segvit", "essnet", "mobile", "hyctas", "hyctas_supernet", "hyctas_panoptic", "panoptic"),
    "outside",
)
FITS = {
    "backbone/deeplab": {"essnet", "mobile", "panoptic"},
    "backbone/segvit": {"segvit"},
    "distillation": {*METHODS} - {"hyctas_supernet"},
    "genotype/hyctas": {"hyctas", "hyctas_panoptic"},
    "head/essnet": {"essnet"},
    "head/hyctas": {"hyctas", "hyctas_supernet", "hyctas_panoptic"},
    "head/mobile": {"mobile"},
    "head/segvit": {"segvit"},
    "instance_head/hyctas": {"hyctas_panoptic"},
    "library/outside": {"outside"},
    "loss/essnet": {"essnet"},
    "pruning": {"segvit"},
    "pruning/scorer": {"segvit"},
    "recipe": {*METHODS},
    "recipe/deeplab": {"essnet", "mobile", "panoptic"},
    "recipe/hyctas": {"hyctas", "hyctas_supernet", "hyctas_panoptic"},
    "recipe/mobile": {"mobile"},
    "recipe/outside": {"outside"},
    "recipe/segvit": {"segvit"},
    "regulariser": {"essnet"},
    "refinement": {"segvit"},
    "sharing": {"segvit"},
}
"""The methods that the parts in each folder of conf/method are for."""
NESTED = [part for part in PARTS if part.count("/") == 2 and not part.startswith("pruning/")]
"""Those in a family's folder, such as head/mobile/dpc."""


def fits(part: str) -> set[str]:
    return FITS[part.rpartition("/")[0]]


def typed(part: str) -> str:
    """`method/head=mobile/dpc`, or `method/pruning/scorer=atm`, which is a group within one."""
    cut = part.rindex("/") if part.startswith("pruning/") else part.index("/")
    return f"method/{part[:cut]}={part[cut + 1 :]}"


def checked(*overrides: str):
    cfg = compose("train", ["data=scenes", *overrides])
    with open_dict(cfg):
        cfg.run = {"folder": "none", "id": "none"}
    check_arguments(Run(cfg))
    return cfg


def test_every_part_fits_methods_that_there_are():
    """However it is called: by its bare name or with its folder."""
    for part in PARTS:
        group, _, choice = typed(part).partition("=")
        assert set(methods_of(group, choice)) == fits(part) <= set(METHODS), part
        assert methods_of(group, Path(choice).name) == methods_of(group, choice), part


def test_a_bare_name_is_that_of_one_part():
    for group in {typed(part).partition("=")[0] for part in PARTS}:
        names = [Path(part).name for part in PARTS if typed(part).startswith(f"{group}=")]
        assert sorted(names) == options(group), group


@pytest.mark.parametrize("method", [*METHODS, "cts_policy"])
def test_the_parts_of_a_method_are_those_of_its_file(method):
    """Which is read without Hydra, as it is at the start of every entry point."""
    own = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text()).get("defaults", [])
    parts = [entry for entry in own if isinstance(entry, dict)]
    begun = [entry for entry in own if isinstance(entry, str) and entry in METHODS]
    found = {k: v for one in begun for k, v in parts_of(one).items()}
    assert begun == (["hyctas"] if method == "hyctas_panoptic" else [])
    assert parts_of(method) == found | {f"method/{k}": v for part in parts for k, v in part.items()}


@pytest.mark.parametrize("part", NESTED)
def test_a_part_may_be_called_with_its_folder_or_without(part):
    """As it was before there were folders, in full, and as shells complete it."""
    group, folder, name = part.split("/")
    method = f"method={min(fits(part))}"
    named = "method.backbone.name=resnet18" if name == "timm" else "seed=0"
    first, *others = (
        compose("train", [method, choice, named])
        for choice in (
            f"method/{group}={name}",
            f"method/{group}={folder}/{name}",
            f"method/{group}/{folder}={name}",
        )
    )
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("method/head=mobile/dpc", "method/head=mobile/dpc fits method=mobile, not method=segvit"),
        ("method/head/mobile=dpc", "type method/head=atm_cascade|atm_single"),
        ("method/head=segvit/dpc", "known: atm_cascade, atm_single"),
        (
            "method/recipe=deeplab/adam",
            "fits method=essnet|mobile|panoptic, not method=segvit; type",
        ),
        ("method/loss=essnet/exact", "`method/loss` is no part of this method, but of method=ess"),
        ("+method/loss=essnet/exact", "fits method=essnet, not method=segvit; leave method/loss"),
    ],
)
def test_a_part_of_another_folder_is_refused(choice, said):
    with pytest.raises(ConfigError) as caught:
        compose("train", ["method=segvit", choice])
    assert said in str(caught.value)


def test_several_are_typed_at_once_as_shells_complete_one():
    swept = ["method/head/essnet=linear,embedding", "method/pruning/scorer=atm", "seed=0,1"]
    assert as_today(swept, "train") == ["method/head=essnet/linear,essnet/embedding", *swept[1:]]


def test_files_of_other_people_go_on_to_choose_by_bare_names(tmp_path):
    """And choose theirs, unless they have the name of one of ours."""
    head = (CONF / "method" / "head" / "segvit" / "atm_cascade.yaml").read_text()
    for path, text in {
        "experiment/theirs.yaml": "# @package _global_\ndefaults:\n  - override /method: essnet\n"
        "  - override /method/head: linear\n  - override /method/recipe: hour\n",
        "method/head/mine.yaml": head.replace("layers: 3", "layers: 2"),
        "method/head/dpc.yaml": head,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    theirs = f"hydra.searchpath=[file://{tmp_path}]"
    cfg = compose("train", [theirs, "experiment=theirs"])
    assert cfg.method.head._target_.endswith("LinearHead") and cfg.method.optimizer.lr == 3e-3
    assert compose("train", [theirs, "method/head=mine"]).method.head.layers == 2
    with pytest.raises(ConfigError, match=r"method/head/dpc\.yaml of your own bears the name of"):
        compose("train", [theirs, "method/head=dpc"])


def test_shells_complete_bare_names_and_folders(monkeypatch, capfd):
    for word, offered in {
        "method/loss=": {f"method/loss={name}" for name in options("method/loss")},
        "method/head/": {
            f"method/head/{name}=" for name in ("essnet", "hyctas", "mobile", "segvit")
        },
        "method/head/mobile=": {"method/head/mobile=basic", "method/head/mobile=dpc"},
    }.items():
        line = f"python train.py {word}"
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        capfd.readouterr()
        assert called(train, "-sc", "query=bash") == 0
        assert set(capfd.readouterr().out.split()) == offered


@pytest.mark.parametrize("method", METHODS)
def test_parts_fit_the_methods_that_they_are_for(method):
    """Every head, recipe and loss of each method, several in one config."""
    own = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text())["defaults"]
    groups = {key for entry in own for key in entry} & {"head", "recipe", "loss"}
    lists = [[p for p in PARTS if p.startswith(f"{g}/") and method in fits(p)] for g in groups]
    for parts in zip_longest(*lists):
        choices = [typed(part) for part in parts if part is not None]
        OmegaConf.resolve(checked(f"method={method}", *choices).method)


@pytest.mark.parametrize(
    ("method", "group", "choice", "said"),
    [
        ("segvit", "recipe", "adam", "type method/recipe=finetune|scratch"),
        ("essnet", "head", "dpc", "fits method=mobile, not method=essnet"),
        ("segvit", "head", "linear", "type method/head=atm_cascade|atm_single"),
        ("mobile", "backbone", "vit_tiny", "fits method=segvit"),
        ("mobile", "loss", "exact", "leave method/loss out"),
        ("cts_policy", "sharing", "cts", "leave method/sharing out"),
    ],
)
def test_a_part_of_another_method_is_named(method, group, choice, said):
    with pytest.raises(ConfigError) as caught:
        check_choices({"method": method, f"method/{group}": choice})
    assert said in str(caught.value)


def test_it_is_named_before_anything_else():
    with pytest.raises(ConfigError) as caught:
        compose("train", ["method=mobile", "method/recipe=scratch"])
    assert str(caught.value) == (
        "method/recipe=scratch fits method=segvit, not method=mobile; type "
        "method/recipe=adam|adam_scratch|hour|sgd|sgd_scratch"
    )


def test_the_loss_stands_at_one_place_and_its_old_one_goes_on_to_work():
    for method in METHODS:
        typed = ("method.loss.class_weights=[1,2]", "method.loss.dice=0.0")
        cfg = checked(f"method={method}", *typed)
        assert cfg.method.task.loss.class_weights == [1, 2] and cfg.method.task.loss.dice == 0
    assert checked("method=mobile", "method.task.loss.dice=0.5").method.loss.dice == 0.5
    assert (
        as_today(["+method.task.loss.a=1", "method.task.groups=[]"], "train")[0]
        == "+method.loss.a=1"
    )


def test_a_whole_loss_of_ones_own_takes_no_settings_of_ours():
    typed = [
        "method.task.loss._target_=torch.nn.CrossEntropyLoss",
        "+method.task.loss.reduction=sum",
    ]
    found = checked("method=mobile", *typed).method.task.loss
    assert found == {"_target_": "torch.nn.CrossEntropyLoss", "reduction": "sum"}


@pytest.mark.parametrize("method", METHODS)
def test_a_setting_that_no_loss_has_is_named(method):
    with pytest.raises(ConfigError, match=r"`method\.loss\.weights` is not an argument of"):
        checked(f"method={method}", "+method.task.loss.weights=[1,2]")


def test_keys_without_a_class_are_no_loss():
    """As an experiment file may have them, whose keys take the place of the loss."""
    cfg = compose("train", ["data=scenes", "method=mobile"])
    cfg.method.task.loss = {"weights": [1, 2]}
    with open_dict(cfg):
        cfg.run = {"folder": "none", "id": "none"}
    with pytest.raises(ConfigError, match=r"method\.task\.loss=.* _target_"):
        check_arguments(Run(cfg))
