"""Networks as composed or as trained; mistakes end in one clear sentence."""

import re
from pathlib import Path

import pytest
import torch

from segsuite.bench.paper import published
from segsuite.core.checkpoint import CONFIG_KEY, save_checkpoint
from segsuite.core.config import CONF
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.engine.inference.candidates import NamedNetworks, from_checkpoint, from_experiment

SIZE = (64, 96)
MICRO = "method/backbone=vit_micro"


def test_an_experiment_is_built_for_the_size_with_overrides_of_its_own() -> None:
    found = from_experiment(f"segvit_vitt {MICRO} data.num_classes=7", size=SIZE)
    assert found.experiment == "segvit_vitt" and not found.trained
    assert found.network.backbone.grid == (4, 6)
    assert found.network.num_classes == 7
    assert not found.network.training


def test_common_overrides_reach_every_experiment_but_its_own_win() -> None:
    typed = [f"segvit_vitt {MICRO}", f"cts_vitt {MICRO} data=ade20k"]
    overrides = ["data=camvid", "data.root=none"]
    first, second = NamedNetworks(experiments=typed, overrides=overrides).built(SIZE)
    assert (first.network.num_classes, second.network.num_classes) == (11, 150)


@pytest.mark.parametrize(
    ("experiments", "message"),
    [
        ([], "experiments="),
        ([f"segvit_vitt {MICRO}"] * 2, "named twice"),
        (["segvit_vitx"], "segvit_vit"),
        ([f"segvit_vitt {MICRO} method.backbone.dimm=3"], "dim"),
        (["segvit_vitt", f"cts_vitt {MICRO} method.backbone.dimm=3"], r"^cts_vitt .*dimm=3: "),
    ],
)
def test_mistakes_are_named(experiments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NamedNetworks(experiments=experiments).built(SIZE)


def test_a_size_that_does_not_divide_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"size=|data\.crop_size="):
        from_experiment(f"cts_vitt {MICRO}", size=(64, 72))


def test_a_checkpoint_brings_its_network(tmp_path: Path) -> None:
    config = {
        "name": "toy",
        "method": {"network": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}},
    }
    weights = torch.rand(3, 2)
    state = {"network.weight": weights, "network.bias": torch.zeros(3)}
    path = tmp_path / "run-1" / "checkpoints" / "best.ckpt"
    save_checkpoint({CONFIG_KEY: config, "state_dict": state}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "size_divisor", 32, raising=False)
        found = from_checkpoint(str(path), size=SIZE)
    assert found.name == "toy (run-1/best)" and found.trained
    assert torch.equal(found.network.weight, weights)


def test_a_missing_checkpoint_is_said() -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        NamedNetworks(checkpoints=["nowhere.ckpt"]).built(SIZE)


def test_the_first_of_many_missing_checkpoints_is_said() -> None:
    """Whose paths together are longer than a path may be."""
    paths = [f"logs/{'a_long_name_' * 10}/run-{index}/best.ckpt" for index in range(60)]
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*/run-0/best\.ckpt"):
        NamedNetworks(checkpoints=paths).built(SIZE)


def test_a_comma_in_the_name_of_a_checkpoint_asks_for_quotes(tmp_path: Path) -> None:
    path = tmp_path / "lr=0.1,steps=5.ckpt"
    path.touch()
    said = f"one file with a comma in its name; type \"checkpoints=['{path}']\", in both kinds"
    with pytest.raises(ConfigError, match=re.escape(said)):
        NamedNetworks(checkpoints=str(path).split(","))


def test_papers_figures_are_of_experiments_that_exist() -> None:
    assert published().keys() <= {path.stem for path in (CONF / "experiment").glob("*.yaml")}


def test_a_policy_alone_is_not_compared() -> None:
    with pytest.raises(ConfigError, match="segments nothing"):
        from_experiment("cts_policy_cityscapes", size=(64, 64))
