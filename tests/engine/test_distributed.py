"""Two processes on the CPU: images unevenly spread, figures as with one."""

import json

import pytest

from tests.engine.entry_points import TOY, command, only, run, training


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    code, _, err = run(training(logs, "trainer=ddp_cpu", "name=two", "data.val_images=7"))
    assert code == 0, err
    return only(logs, "train/two/*/checkpoints/best.ckpt"), logs


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
