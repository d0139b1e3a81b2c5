"""Processes that prepare data: what they raise, and how they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segsuite.core.errors import DataError, exit_code
from segsuite.data.preparation import jobs

ROOT = Path(__file__).parents[2]


def test_killed_workers_and_ctrl_c_say_how_to_go_on(capsys):
    with pytest.raises(DataError, match=r"a process was killed.* fewer --workers"):
        list(jobs.in_parallel(os._exit, [(9,)], workers=2))

    def stopped() -> None:
        raise KeyboardInterrupt

    assert exit_code(stopped) == 130
    assert "to go on, type the same command again" in capsys.readouterr().err


def test_processes_end_with_the_one_that_began_them():
    code = (
        "from segsuite.data.preparation import jobs\n"
        "task = ('import os, time; os.write(1, bytes([49, 10])); time.sleep(60)',)\n"
        "if __name__ == '__main__':\n"
        "    list(jobs.in_parallel(exec, [task, task], workers=2))\n"
    )
    script = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert script.stdout.readline() == b"1\n"
    script.kill()
    script.communicate(timeout=30)  # until no process holds its end of the pipe


def test_errors_of_workers_arrive():
    with pytest.raises(ZeroDivisionError):
        list(jobs.in_parallel(divmod, [(1, 1), (1, 0)], workers=1))
    with pytest.raises(ZeroDivisionError):
        list(jobs.in_parallel(divmod, [(1, 1), (1, 0)], workers=2))


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0"])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "preparation.json").write_text(text)
    with pytest.raises(DataError, match=r"preparation\.json is damaged, .* delete "):
        jobs.begin(tmp_path, {"overlap": "first"})


def test_a_folder_that_cannot_be_written_is_one_sentence(capsys):
    def failing() -> None:
        raise PermissionError(13, "Permission denied", "/data/coco_lvis")

    assert exit_code(failing) == 2
    assert capsys.readouterr().err.strip().endswith("Permission denied: '/data/coco_lvis'")
