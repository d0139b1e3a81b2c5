"""Keys that nothing refers to, and groups that are none any more."""

import logging

import pytest
from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.engine.heeded import check_heeded
from segsuite.engine.settings import check_groups

METHOD = {
    "dim": 8,
    "unused": 1,
    "head": {"dim": "${method.dim}"},
    "loss": {"k": 3},
    "policy": {"weights": "none"},
    "network": {"head": "${method.head}", "encoder": "${or_none:${method.policy},exits}"},
    "task": {"loss": "${method.loss}"},
}


def checked(name: str, override: str) -> None:
    check_heeded(OmegaConf.create({"method": METHOD, "allow": []}), name, [override])


@pytest.mark.parametrize("name", ["evaluate", "predict", "export"])
def test_what_the_network_does_not_refer_to_is_refused_where_nothing_is_trained(name):
    with pytest.raises(ConfigError, match=r"`method\.loss\.k=5` would change nothing"):
        checked(name, "method.loss.k=5")
    for heeded in ("method.dim=9", "method.head.dim=9", "method.policy.weights=x", "method={}"):
        checked(name, heeded)
    checked(name, "method/loss=knn")
    check_heeded(
        OmegaConf.create({"method": METHOD, "allow": ["mine."]}), name, ["method.loss.k=5"]
    )


def test_training_says_what_changes_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        checked("train", "method.loss.k=5")
        assert caplog.messages == []
        checked("train", "method.unused=5")
    assert caplog.messages == [
        "method.unused=5 changes nothing: no part of this method refers to it"
    ]


def test_evaluation_says_that_it_reads_no_training_images(caplog):
    checked("evaluate", "data.batch_size=5")
    assert "data.batch_size=5 changes nothing here" in caplog.text


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("train", {"run": 3}),
        ("train", {"paths": None}),
        ("export", {"parity": -2.5}),
        ("export", {"calibration": True}),
        ("benchmark", {"losses": "x"}),
    ],
)
def test_groups_of_keys_stay_groups(name, broken):
    right = {
        "paths": {"logs": "a"},
        "run": {"folder": None},
        **{key: {} for key in ("parity", "calibration", "accuracy", "memory", "losses")},
        "runtimes": {},
    }
    check_groups(OmegaConf.create(right), name)
    (key,) = broken
    with pytest.raises(ConfigError, match=rf"`{key}=.*` does not fit: it is a group of keys"):
        check_groups(OmegaConf.create(right | broken), name)


@pytest.mark.parametrize(
    ("name", "broken", "said"),
    [
        ("export", {"output_folder": {}}, "one value, not a group of keys"),
        ("export", {"output_folder": ["a", "b"]}, "one text, not a list"),
        ("predict", {"input": {"a": 1}}, "one value, not a group of keys"),
        ("evaluate", {"name": ["a"]}, "one text, not a list"),
    ],
)
def test_single_values_stay_single(name, broken, said):
    groups = ("paths", "run", "parity", "calibration", "accuracy")
    right = OmegaConf.create({key: {} for key in groups})
    check_groups(right, name)
    (key,) = broken
    with pytest.raises(ConfigError, match=f"`{key}=.*` does not fit: it is {said}"):
        check_groups(OmegaConf.merge(right, broken), name)
