"""Sweeps go through Hydra's own -m; nothing is trained here."""

import csv
import re
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from segsuite.core.build import build
from segsuite.core.config import CONF
from segsuite.engine.launch import record, sweeps
from segsuite.engine.launch.run import Run
from segsuite.engine.training import check_arguments
from segsuite.train import main as train
from tests.config.composed import SWEEPS, composed


@pytest.fixture
def jobs(monkeypatch, tmp_path):
    """Starts a sweep whose jobs do nothing; the config of each by its folder's name."""

    def swept(*arguments: str) -> dict[str, DictConfig]:
        found = {}

        def noted(main, cfg: DictConfig, folder: Path) -> float:
            assert folder.parent.parent == tmp_path / "sweeps"
            found[folder.name] = cfg.copy()
            found[folder.name].run.id = "0123"
            return 0.0

        monkeypatch.setattr(sweeps, "one_job", noted)
        monkeypatch.setattr(sys, "argv", ["train", "-m", f"paths.logs={tmp_path}", *arguments])
        train()
        return found

    return swept


CHEAPER = {"merge_count": ["method/sharing=random"], "head_positions": ["method/sharing=random"]}
"""Drawn windows in place of a policy's, which costs time to build and counts them alike."""


def _text(sweep: str) -> str:
    return (CONF / "sweep" / f"{sweep}.yaml").read_text()


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_value_of_every_sweep_fits(jobs, sweep):
    (line,) = re.findall(r"^# python -m segsuite.train -m (experiment=.*)", _text(sweep), re.M)
    found = jobs(*line.split(), *CHEAPER.get(sweep, ()))
    different = {str(cfg.method) + str(cfg.trainer) for cfg in found.values()}
    assert len(different) == len(found) >= 3
    for cfg in found.values():
        check_arguments(Run(cfg))
    networks = {
        str(OmegaConf.to_container(cfg.method.network, resolve=True)): cfg for cfg in found.values()
    }
    for cfg in networks.values():
        with torch.device("meta"):
            assert build(cfg.method.network, path="method.network") is not None


def test_values_that_are_typed_are_swept(jobs):
    found = jobs("experiment=cts_dtop_vitt", "method.pruning.theta=0.8,0.9", "seed=0,1,2")
    pairs = {(cfg.method.network.pruning.theta, cfg.data.seed) for cfg in found.values()}
    assert pairs == {(theta, seed) for theta in (0.8, 0.9) for seed in (0, 1, 2)}
    assert all("theta=" in name and "seed=" in name for name in found)


def test_parts_of_a_family_are_swept_in_the_folders_that_they_had_by_their_bare_names(jobs):
    found = jobs("experiment=essnet_cityscapes_mobilenetv2", "sweep=negatives")
    assert list(found) == [
        *("method-loss=exact-4a01853177", "method-loss=knn-1c59bc77f9"),
        "method-loss=random-c0d4ee8104",
    ]
    typed = jobs("experiment=quickstart", "method/head=segvit/atm_single,atm_cascade")
    targets = [cfg.method.head._target_.rpartition(".")[2] for cfg in typed.values()]
    assert targets == ["AtmSingle", "AtmCascade"]


def test_dashboards_get_a_name_a_group_and_an_id_for_each_job(jobs):
    found = jobs("experiment=quickstart", "logger=wandb", "name=thetas", "seed=0,1")
    for name, cfg in found.items():
        assert cfg.logger.wandb.name == name and cfg.logger.wandb.group == "thetas"
        assert record.flat(cfg)["seed"] == cfg.seed
    single = composed("experiment=quickstart", "logger=wandb")
    assert single.logger.wandb.name == "quickstart" and single.logger.wandb.group is None


def test_the_table_of_a_sweep_over_names_finds_its_jobs(jobs, tmp_path):
    found = jobs("experiment=quickstart", "name=one,two")
    with open(tmp_path / "sweeps" / "quickstart" / "sweep.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["job"] for row in rows] == [
        f"../{name}/{folder}" for name, folder in zip(("one", "two"), found, strict=True)
    ]
    assert [row["name"] for row in rows] == ["one", "two"]


@pytest.mark.parametrize(("steps", "every"), [(160_000, 50), (600, 50), (40, 4), (3, 1)])
def test_short_runs_log_their_losses_too(steps, every):
    cfg = composed("experiment=quickstart", f"trainer.max_steps={steps}")
    assert cfg.trainer.log_every_n_steps == every
