"""Two processes on the CPU, in a job of a sweep: images unevenly spread, figures as with one."""

import json

import pytest

from segsuite.train import main as train
from tests.engine.entry_points import TOY, called, command, only, run, training

SWEPT = ("data.val_images=7", "method.network.dropout=0")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A file of a sweep, which has Hydra begin a sweep wherever it is chosen."""
    folder = tmp_path_factory.mktemp("conf") / "sweep"
    folder.mkdir()
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: 0}}}\n"
    (folder / "once.yaml").write_text(text)
    return f"hydra.searchpath=[file://{folder.parent}]", "sweep=once"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, sweep):
    logs = tmp_path_factory.mktemp("logs")
    code, _, err = run(training(logs, "trainer=ddp_cpu", *SWEPT, *sweep, multirun=True))
    assert code == 0, err
    return only(logs, "sweeps/once/*/checkpoints/best.ckpt"), logs


def test_two_processes_train_what_one_does(checkpoint, tmp_path):
    """On the same images: two of a batch each, or both in one."""
    path, _ = checkpoint
    line = training(tmp_path, *SWEPT, "data.batch_size=4")
    assert called(train, *line[3:]) == 0
    alone = json.loads(only(tmp_path, "train/toy/*/result.json").read_text())["metrics"]
    both = json.loads((path.parents[1] / "result.json").read_text())["metrics"]
    for name in ("test/miou", "test/pacc", "val/macc", "val/fwiou"):
        assert both[name] == pytest.approx(alone[name], rel=1e-6), name


def test_uneven_batches_give_the_figures_of_one_process(checkpoint):
    path, logs = checkpoint
    trained = json.loads((path.parents[1] / "result.json").read_text())["metrics"]
    line = command("evaluate", f"ckpt_path={path}", *TOY[2:], f"paths.logs={logs}")
    code, out, err = run(line)
    assert code == 0, err
    alone = json.loads(out.splitlines()[-1])["metrics"]
    # Seven images over two processes, in batches of two: 4 + 3 images, two batches each.
    for name in ("miou", "pacc", "macc", "fwiou", "baseline_miou"):
        assert alone[f"val/{name}"] == trained[f"test/{name}"], name


def test_only_the_first_process_writes(checkpoint):
    path, _ = checkpoint
    run_folder = path.parents[1]
    assert len(json.loads((run_folder / "run.json").read_text())["starts"]) == 1
    assert (run_folder / "result.json").exists()
