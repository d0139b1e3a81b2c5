"""What a machine ran out of: one paragraph that says what to type, whatever library noticed it."""

import errno
import logging
import sys

import pytest
from omegaconf import OmegaConf

from segsuite.core.errors import DataError, SegsuiteError
from segsuite.engine.launch.exhausted import LostProcesses, exhausted, exhaustion_explained
from segsuite.engine.launch.folders import LAST
from segsuite.train import main as train
from tests.engine.entry_points import called, training

CFG = OmegaConf.create(
    {"data": {"batch_size": 8, "eval_batch_size": 4, "crop_size": [64, 64], "num_workers": 2}}
)


class OutOfMemoryError(RuntimeError):
    """As torch.cuda.OutOfMemoryError, by name."""


@pytest.mark.parametrize(
    ("error", "what", "to_type"),
    [
        (MemoryError(), "the computer's memory", "data.batch_size (now 8) or data.eval_batch_size"),
        (
            MemoryError("Caught MemoryError in DataLoader worker process 0.\nOriginal Traceback"),
            "memory ran out (Caught MemoryError in DataLoader worker process 0)",
            "data.crop_size (now [64,64])",
        ),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate"
                " memory: you tried to allocate 4 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "the computer's memory",
            "data.batch_size (now 8)",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"),
            "the GPU's memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB)",
            "data.batch_size (now 8)",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
            "the GPU's",
            "smaller",
        ),
        (
            RuntimeError("DataLoader worker (pid 71) is killed by signal: Killed. "),
            "a worker that loads data was ended from outside",
            "data.num_workers (now 2)",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 71, 72) exited unexpectedly"),
            "a worker that loads data",
            "data.num_workers (now 2)",
        ),
        (
            RuntimeError(
                "DataLoader worker (pid 9) is killed by signal: Bus error. It is possible "
                "that dataloader's workers are out of shared memory."
            ),
            "shared memory (/dev/shm)",
            "--shm-size=8g",
        ),
        (
            RuntimeError("unable to write to file </torch_1_2_3>: No space left on device (28)"),
            "shared memory (/dev/shm)",
            "data.num_workers (now 2)",
        ),
        (OSError(errno.ENOSPC, "No space left", "/logs/a.csv"), "/logs/a.csv", "paths.logs="),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "run cannot be written",
            "paths.logs=FOLDER",
        ),
        (
            RuntimeError(
                "[enforce fail at inline_container.cc:863] . PytorchStreamWriter failed "
                "writing file data/2: file write failed"
            ),
            "run cannot be written",
            "make room there",
        ),
        (OSError(errno.EMFILE, "Too many open files", "a.png"), "too many files", "ulimit -n"),
        (
            RuntimeError("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:4"),
            "another process of this run has ended",
            "data.batch_size (now 8)",
        ),
    ],
)
def test_one_paragraph_says_what_ran_out_and_what_to_type(tmp_path, error, what, to_type):
    said = exhausted(error, CFG, tmp_path / "run")
    assert what in said and to_type in said and "\n" not in said


def test_what_is_no_want_of_anything_stays_as_it_was(tmp_path):
    reset = ConnectionResetError(104, "Connection reset by peer")
    for error in (RuntimeError("shapes differ"), FileNotFoundError(2, "no", "a"), reset):
        assert exhausted(error, CFG, tmp_path) is None
        with pytest.raises(type(error)), exhaustion_explained(CFG, tmp_path):
            raise error
    with pytest.raises(DataError), exhaustion_explained(CFG, tmp_path):
        raise DataError("cannot allocate memory")  # of ours: told already


def test_what_was_saved_is_named(tmp_path):
    (tmp_path / LAST).parent.mkdir()
    (tmp_path / LAST).touch()
    going_on = r"last\.ckpt; to go on from it, add resume=true"
    with pytest.raises(SegsuiteError, match=going_on) as told, exhaustion_explained(CFG, tmp_path):
        raise MemoryError
    assert isinstance(told.value.__cause__, MemoryError)


def test_a_run_that_ends_so_says_it_in_one_paragraph(tmp_path, monkeypatch, capfd):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr("segsuite.engine.training.make_data", full)
    assert called(train, *training(tmp_path)[3:]) == 2
    err = capfd.readouterr().err
    assert err.startswith("segsuite: error: somewhere cannot be written") and err.count("\n") == 1


def test_the_death_of_another_process_is_said_before_lightning_ends_the_rest(capfd):
    subprocesses = pytest.importorskip(LostProcesses.logger)
    assert subprocesses._logger.name == LostProcesses.logger
    for _ in range(2):
        LostProcesses.listen()
    message = "Child process with PID 7 terminated with code -9. Forcefully terminating all"
    sys.stderr.flush()
    logging.getLogger(LostProcesses.logger).info(message)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "process 7 of this run has ended with code -9" in err
