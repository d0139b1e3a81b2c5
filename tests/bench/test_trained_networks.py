"""README: trained networks on a named data set, their mIoU beside their speed, and by runtimes."""

import json
from pathlib import Path

import pytest

from segsuite import benchmark, train
from tests.engine.entry_points import called

SCENES = (
    *("data=scenes", "data.crop_size=[64,64]", "data.batch_size=2", "data.num_workers=0"),
    "data.reader.lengths={train: 4, val: 2}",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A micro ViT, trained for an iteration."""
    logs = tmp_path_factory.mktemp("logs")
    small = ("experiment=segvit_vitt", "method/backbone=vit_micro", "callbacks.images=null")
    short = ("trainer=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1")
    assert called(train.main, *small, *short, *SCENES, f"paths.logs={logs}", "name=small") == 0
    (last,) = logs.glob("train/small/*/checkpoints/last.ckpt")
    return last


@pytest.fixture
def measured(checkpoint, tmp_path, capfd):
    def measure(*typed: str) -> dict:
        given = (f"checkpoints=[{checkpoint}]", *SCENES, "images=1", f"paths.logs={tmp_path}")
        capfd.readouterr()
        code = called(benchmark.main, *given, *typed)
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out.splitlines()[-1])

    return measure


def test_checkpoints_alone_are_scored_on_the_data_that_are_named(measured):
    result = measured("size=[64,64]", "device=cpu", "rounds=2", "warm_up=1")
    (network,) = result["networks"].values()
    assert network["miou"]["images"] == 2 and 0 <= network["miou"]["miou"] <= 1


def test_runtimes_run_a_checkpoint_on_the_data_that_are_named(measured):
    typed = ("runtimes.names=[eager]", "runtimes.sizes=[[64,64]]", "runtimes.frames=2")
    result = measured("probe=runtimes", *typed)
    assert [row["runtime"] for row in result["rows"]] == ["eager"]
