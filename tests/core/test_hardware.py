"""Free memory: what the system has, and what a container or a scheduler's job leaves of it."""

from pathlib import Path

import pytest
import torch

from segsuite.core import hardware


def group(folder: Path, limit: str, used: int, cached: int, *, version: int = 2) -> None:
    names = hardware._GROUP_FILES["" if version == 2 else "memory"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {cached}\n{names[3]} 7\n")


@pytest.mark.parametrize(
    ("version", "line"), [(2, "0::/job/step"), (1, "4:memory:/job/step\n1:cpu:/elsewhere")]
)
def test_every_group_above_a_process_has_its_say(tmp_path: Path, version: int, line: str) -> None:
    top = tmp_path / "groups"
    root = top if version == 2 else top / "memory"
    group(
        root / "job" / "step", "max" if version == 2 else str(2**63 - 4096), 10, 0, version=version
    )
    group(root / "job", "1000", 700, 50, version=version)
    (tmp_path / "own").write_text(f"{line}\n")
    assert min(hardware._left_by_groups(tmp_path / "own", top)) == 357


def test_without_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert hardware._left_by_groups(tmp_path / "none", tmp_path) == [2**62]
    (tmp_path / "own").write_text("0::/\n")
    assert hardware._left_by_groups(tmp_path / "own", tmp_path) == [2**62]


def test_a_container_that_is_smaller_than_its_host_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_left_by_groups", lambda: [2**62, 5])
    assert hardware.free_memory(torch.device("cpu")) == 5
