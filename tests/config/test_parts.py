"""Parts of a method go with those methods that they name, and losses are typed at one place."""

from itertools import zip_longest

import pytest
import yaml
from omegaconf import OmegaConf, open_dict

from segsuite.core.config import CONF, as_today, check_choices
from segsuite.core.errors import ConfigError
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.run import Run
from segsuite.engine.training import check_arguments

PARTS = {
    path.relative_to(CONF / "method").with_suffix("").as_posix(): path.read_text()
    for path in sorted((CONF / "method").glob("*/**/*.yaml"))
}
METHODS = ("segvit", "essnet", "mobile")


def named(text: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith("# @methods ")]
    return line.removeprefix("# @methods ").split(",")


def checked(*overrides: str):
    cfg = compose("train", ["data=scenes", *overrides])
    with open_dict(cfg):
        cfg.run = {"folder": "none", "id": "none"}
    check_arguments(Run(cfg))
    return cfg


def test_every_part_names_methods_that_there_are():
    for part, text in PARTS.items():
        assert set(named(text)) <= set(METHODS), part


@pytest.mark.parametrize("method", METHODS)
def test_parts_fit_the_methods_that_they_name(method):
    """Every head, recipe and loss of each method, several in one config."""
    own = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text())["defaults"]
    groups = {key for entry in own for key in entry} & {"head", "recipe", "loss"}
    lists = [
        [part for part, text in PARTS.items() if part.startswith(f"{g}/") and method in named(text)]
        for g in groups
    ]
    for parts in zip_longest(*lists):
        typed = [f"method/{part.replace('/', '=')}" for part in parts if part is not None]
        OmegaConf.resolve(checked(f"method={method}", *typed).method)


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
        "method/recipe=adam|adam_scratch|finetune|hour|sgd|sgd_scratch"
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
