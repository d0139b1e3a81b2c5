"""Sweeps go through Hydra's own -m; nothing is trained here."""

import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml
from hydra.plugins.sweeper import Sweeper
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
    """Starts a sweep; the config of each job by its folder's name. They do nothing, but for the
    first one, which trains if it is told how it is to be made `small`."""
    # Hydra composes each job before the first one begins, and again when its turn comes.
    monkeypatch.setattr(Sweeper, "validate_batch_is_legal", lambda *_: None)
    one_job = sweeps.one_job

    def swept(*arguments: str, small: Sequence[str] | None = None) -> dict[str, DictConfig]:
        found = {}

        def noted(main, cfg: DictConfig, folder: Path, name: str) -> float | None:
            assert folder.parent.parent == tmp_path / "sweeps"
            found[folder.name] = cfg.copy()
            found[folder.name].run.id = "0123"
            if small is not None and len(found) == 1:
                return one_job(main, made_small(cfg, small), folder, name)
            (folder / "result.json").write_text('{"optimized": 0.0}')
            return 0.0

        monkeypatch.setattr(sweeps, "one_job", noted)
        monkeypatch.setattr(sys, "argv", ["train", "-m", f"paths.logs={tmp_path}", *arguments])
        train()
        return found

    return swept


def made_small(cfg: DictConfig, changes: Sequence[str]) -> DictConfig:
    """The config of a job with drawn images of 64x64 and two iterations, changed in place: to
    compose it once more takes longer than to train it."""
    for change in (*TINY, *changes):
        key, _, value = change.partition("=")
        OmegaConf.update(cfg, key, yaml.safe_load(value), force_add=True)
    return cfg


HYBRIDS = ("merge_count", "pruning_positions", "token_budget", "theta", "seeds")
CHEAPER = {sweep: ["method/sharing=random"] for sweep in HYBRIDS}
"""Drawn windows in place of a policy's, which costs time to build and counts them alike."""
BUILT = 6
"""How many networks of a sweep are built, of those that differ."""
TINY = (
    *(
        "data.crop_size=[64,64]",
        "data.reader.size=[64,64]",
        "data.reader.lengths={train: 4, val: 2}",
    ),
    *("data.batch_size=2", "data.num_workers=0", "logger=null", "callbacks.speed=null"),
    *("callbacks.images=null", "trainer.accelerator=cpu", "trainer.max_steps=2"),
    *("trainer.val_check_interval=2", "trainer.precision=32-true"),
)
SMALL = {
    "segvit": ("method.backbone.dim=48", "method.backbone.heads=3", "method.backbone.weights=none"),
    "mobile": ("method.backbone.weights=none",),
    "hyctas": ("method.genotype.filters=2",),
    "essnet": ("method.backbone.name=mobilenetv2_035", "method.backbone.weights=none"),
}


def _text(sweep: str) -> str:
    return (CONF / "sweep" / f"{sweep}.yaml").read_text()


TRAINED = ("negatives", "nearest_neighbours", "regulariser", "imbalance", "embedding_dim")
"""Sweeps of what only a training step shows; the others are of networks, which are built."""


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_value_of_every_sweep_fits_and_its_first_job_trains(jobs, sweep):
    (line,) = re.findall(r"^# python -m segsuite.train -m (.*)", _text(sweep), re.M)
    family = next((f for f in SMALL if f"experiment={f}" in line), "segvit")
    small = SMALL[family] if sweep in TRAINED else None
    typed = [argument for argument in line.split() if not argument.startswith("data.root=")]
    found = jobs(*typed, "data=scenes", *CHEAPER.get(sweep, ()), small=small)
    different = {str((cfg.method, cfg.trainer, cfg.seed)) for cfg in found.values()}
    assert len(different) == len(found) >= 3
    for cfg in found.values():
        check_arguments(Run(cfg))
    networks = {
        str(OmegaConf.to_container(cfg.method.network, resolve=True)): cfg for cfg in found.values()
    }
    for cfg in [*networks.values()][1 :: -(-len(networks) // BUILT)]:
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


def test_a_sweep_over_experiments_has_one_folder_and_one_table(jobs, tmp_path):
    """Each experiment has a name of its own, which is not the sweep's."""
    experiments = "experiment=quickstart,mobile_basic_camvid,hyctas_s_camvid"
    found = jobs(experiments, "data=scenes", "seed=0,1")
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert folder.name == "experiments" and len(found) == 6
    with open(folder / "sweep.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["job"] for row in rows] == list(found)
    assert {row["status"] for row in rows} == {"finished"}
    assert {row["experiment"] for row in rows} == set(experiments.partition("=")[2].split(","))


def test_the_table_of_a_sweep_over_names_finds_its_jobs(jobs, tmp_path):
    found = jobs("experiment=quickstart", "name=one,two")
    with open(tmp_path / "sweeps" / "quickstart" / "sweep.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["job"] for row in rows] == [
        f"../{name}/{folder}" for name, folder in zip(("one", "two"), found, strict=True)
    ]
    assert [row["name"] for row in rows] == ["one", "two"]


def test_the_table_of_a_sweep_with_an_odd_and_long_name_finds_its_jobs(jobs, tmp_path):
    odd = """a b/"c" 'd' <e>""" + "x" * 300
    found = jobs("experiment=quickstart", f"name={odd}", 'optimized_metric="a/b","<c>"')
    (table,) = tmp_path.glob("sweeps/*/sweep.csv")
    with open(table, newline="") as handle:
        assert [row["job"] for row in csv.DictReader(handle)] == list(found)
    assert {cfg.name for cfg in found.values()} == {odd}


def test_sweeps_are_combined_and_go_by_the_names_that_they_had(jobs):
    experiment = ("experiment=dtop_vitt", "data=scenes")
    found = jobs(*experiment, "sweep=[seeds,theta]", "seed=0", "method.pruning.theta=0.8,0.9")
    assert len(found) == 2 and {cfg.run.sweep for cfg in found.values()} == {"seeds+theta"}
    former = jobs(*experiment, "sweep=head_positions", "method.pruning.after=[6]")
    today = jobs(*experiment, "sweep=pruning_positions", "method.pruning.after=[6]")
    assert [*former] == [*today], "so that a sweep that was begun goes on"
    assert {cfg.run.sweep for cfg in former.values()} == {"head_positions"}


@pytest.mark.parametrize(("steps", "every"), [(160_000, 50), (600, 50), (40, 4), (3, 1)])
def test_short_runs_log_their_losses_too(steps, every):
    cfg = composed("experiment=quickstart", f"trainer.max_steps={steps}")
    assert cfg.trainer.log_every_n_steps == every
