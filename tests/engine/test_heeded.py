"""Keys that nothing refers to, and groups that are none any more."""

import inspect
import logging
import re

import pytest
from omegaconf import DictConfig, OmegaConf

from segsuite.core.config import CONF
from segsuite.core.errors import ConfigError
from segsuite.core.targets import locate
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.heeded import check_heeded
from segsuite.engine.launch.settings import check_groups

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
    grouped = METHOD | {"most": 9, "task": {"grouping": {"most": "${method.most}"}}}
    check_heeded(OmegaConf.create({"method": grouped, "allow": []}), name, ["method.most=5"])
    with pytest.raises(ConfigError, match=r"no more than (?!.*grouping)"):
        checked(name, "method.loss.k=5")
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
        ("benchmark", {"accuracy": "x"}),
    ],
)
def test_groups_of_keys_stay_groups(name, broken):
    right = {
        "paths": {"logs": "a"},
        "run": {"folder": None},
        **{key: {} for key in ("parity", "calibration", "accuracy", "exporter")},
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
    groups = ("paths", "run", "parity", "calibration", "accuracy", "exporter", "segment")
    right = OmegaConf.create({key: {} for key in groups})
    check_groups(right, name)
    (key,) = broken
    with pytest.raises(ConfigError, match=f"`{key}=.*` does not fit: it is {said}"):
        check_groups(OmegaConf.merge(right, broken), name)


def test_predict_says_that_it_reads_no_data_set():
    with pytest.raises(ConfigError, match=r"`data\.root=x` would change nothing"):
        checked("predict", "data.root=x")
    cfg = OmegaConf.create(
        {"method": METHOD, "inference": {"window": "${data.crop_size}"}, "allow": []}
    )
    check_heeded(cfg, "predict", ["data.crop_size=[64,64]"])
    for read in ("data.eval_transform._target_=x", "+data.reader.white=4095"):
        check_heeded(cfg, "predict", [read])
    check_heeded(cfg, "evaluate", ["data.root=x"])


@pytest.mark.parametrize("name", ["train", "evaluate", "check_data"])
def test_a_folder_that_drawn_data_would_not_read_is_refused(name):
    reader = {"_target_": "segsuite.data.scenes.reader.Scenes"}
    cfg = OmegaConf.create({"method": METHOD, "data": {"reader": reader}, "allow": []})
    with pytest.raises(ConfigError, match=r"`data\.root=mine` would be left unread.* data=folder"):
        check_heeded(cfg, name, ["data.root=mine"])
    check_heeded(cfg, name, ["data.root=null"])
    cfg.data.reader._target_ = "segsuite.data.readers.paired_files.PairedFiles"
    check_heeded(cfg, name, ["data.root=mine"])


def within(method: dict, trainer: dict | None = None) -> DictConfig:
    network = {"part": "${method.part}"}
    return OmegaConf.create(
        {"method": {"network": network, **method}, "trainer": trainer or {}, "allow": []}
    )


def exits(mode: str) -> dict:
    target = "segsuite.methods.segvit.token_pruning.TokenPruning"
    return {"part": {"_target_": target, "mode": mode, "theta": 0.9, "budgets": None}}


LOSS = {"part": {"_target_": "segsuite.nn.pixel_loss.PixelCrossEntropy", "ohem_kept": 0.1}}
NONE = {"part": {"_target_": "segsuite.methods.segvit.token_sharing.no_sharing", "windows": 9}}
CTS = "segsuite.methods.segvit.token_sharing.ContentAwareSharing"


@pytest.mark.parametrize(
    ("cfg", "override", "why"),
    [
        (within(exits("dynamic")), "method.part.budgets=[0.5]", r"mode=static, which is dynamic"),
        (within(exits("mask")), "method.part.budgets=[0.5]", r"mode=static, which is mask"),
        (within(exits("static")), "method.part.theta=0.8", r"method\.part\.mode=dynamic, which is"),
        (within(LOSS), "++method.part.ohem_kept=0.1", r"method\.part\.ohem, which is null"),
        (within(NONE), "method.part.windows=9", r"method/part=none makes nothing of it"),
        (
            within({"part": {"_target_": CTS, "policy": "a.ckpt", "network": {"weights": "timm"}}}),
            "method.part.network.weights=timm",
            r"method\.part\.policy=joint, which is a\.ckpt",
        ),
    ],
)
def test_what_counts_only_beside_another_setting_is_said(caplog, cfg, override, why):
    for name in ("train", "export"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            check_heeded(cfg, name, [override])
        (said,) = caplog.messages
        assert said.startswith(f"{override} changes nothing: ")
        assert re.search(why, said)


@pytest.mark.parametrize(
    ("cfg", "override"),
    [
        (within(exits("static")), "method.part.budgets=[0.5]"),
        (within(exits("dynamic")), "method.part.theta=0.8"),
        (within(exits("dynamic")), "method.part.budgets=null"),  # what a checkpoint has is put away
        (within(exits("dynamic")), "~method.part.budgets"),
        (within({"part": {**LOSS["part"], "ohem": 0.7}}), "method.part.ohem_kept=0.1"),
        (within(LOSS, {"_target_": "lightning.Trainer", "max_steps": 3}), "trainer.max_steps=3"),
    ],
)
def test_what_counts_is_taken_without_a_word(caplog, cfg, override):
    check_heeded(cfg, "train", [override])
    check_heeded(cfg, "export", [override])
    assert not caplog.messages


@pytest.mark.parametrize(
    ("experiment", "override", "lacking"),
    [
        (
            "segvit_vitt",
            "method.loss.policy_weight=2",
            "method.sharing.policy=joint, which is null",
        ),
        ("cts_vitt", "method.loss.policy_weight=2", ""),
        (
            "essnet_voc_resnet50_linear",
            "method.regulariser.weight=2",
            "method.head.dim, which is null",
        ),
        ("essnet_voc_resnet50", "method.regulariser.weight=2", ""),
    ],
)
def test_what_counts_only_beside_another_part_is_said(caplog, experiment, override, lacking):
    typed = [override, *(["method/regulariser=max_margin"] if "regulariser" in override else [])]
    check_heeded(compose("train", [f"experiment={experiment}", *typed]), "train", [override])
    assert (lacking in caplog.text) if lacking else not caplog.messages


def test_a_way_of_clipping_without_a_limit_is_said(caplog):
    trainer = {"_target_": "lightning.Trainer", "gradient_clip_val": None}
    typed = "trainer.gradient_clip_algorithm=norm"
    check_heeded(within(LOSS, trainer), "train", [typed])
    assert "trainer.gradient_clip_val, which is null here" in caplog.text
    caplog.clear()
    check_heeded(within(LOSS, {**trainer, "gradient_clip_val": 1}), "train", [typed])
    assert not caplog.messages


def test_marks_name_settings_of_their_own():
    """A setting that is renamed takes its mark along."""
    for target in _targets():
        part = locate(target)
        taken = inspect.signature(part).parameters
        for key, beside in getattr(part, "counts_beside", {}).items():
            siblings = {other for other in beside if "." not in other}
            assert key == "*" or {key.partition(".")[0], *siblings} <= set(taken), target


def _targets() -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in CONF.rglob("*.yaml"))
    return {t for text in texts for t in re.findall(r"_target_: (segsuite\.[\w.]+)", text)}
