"""A signal to the whole process group, as terminals, `timeout` and Slurm send it."""

import os
import signal
import time

from segsuite.core.checkpoint import read_checkpoint
from tests.engine.entry_points import fork, only, run, training

SCENES = (
    "data=scenes",
    "data.crop_size=[64,64]",
    "data.reader.lengths={train: 50, val: 2}",
    "data.batch_size=2",
    "data.num_workers=1",
    "data.verify=false",
    "trainer.val_check_interval=100000",
    "name=cut",
)


def test_a_signal_to_the_group_leaves_a_checkpoint_to_go_on_from(tmp_path):
    line = [*training(tmp_path), *SCENES]
    line.remove("data=toy")
    line.remove("trainer.val_check_interval=12")
    process = fork([*line, "trainer.max_steps=100000"], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("train/cut/*/checkpoints/last.ckpt")):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143, err
    assert "resume=true" in err and "Traceback" not in err

    steps = read_checkpoint(only(tmp_path, "train/cut/*/checkpoints/last.ckpt"))["global_step"]
    assert steps > 5, "written every 5, and once more when the signal came"
    code, _, err = run([*line, f"trainer.max_steps={steps + 2}", "resume=true"])
    assert code == 0, err
