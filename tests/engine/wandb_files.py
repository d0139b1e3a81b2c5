"""What stands in the files of offline W&B runs; the package has no reader of its own any more."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_BLOCK, _HEADER = 32768, struct.Struct("<IHB")
_WHOLE, _LAST = 1, 4
"""Kinds of pieces: a record that is cut at the end of a block goes on in the next one."""


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets wandb look at nothing but what is logged, and be offline as the config has it."""
    for setting in ("SILENT", "DISABLE_GIT", "X_DISABLE_STATS", "X_DISABLE_META"):
        monkeypatch.setenv(f"WANDB_{setting}", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)


def runs(folder: Path) -> list[Path]:
    """The files of the runs anywhere below a folder, oldest first."""
    return sorted(folder.rglob("offline-run-*/run-*.wandb"), key=lambda path: path.parent.name)


def read(path: Path, *, seconds: float = 30.0) -> dict[str, Any]:
    """What the run is, exit code, config, summary, and rows by step, without W&B's own.

    `labels`: names of the classes of each mask, by the key of its image and its own.

    W&B's own process writes the file, and may do so a moment after the run was finished.
    """
    until = time.monotonic() + seconds
    while (found := _as_it_is(path))["exit"] is None and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _as_it_is(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"config": {}, "summary": {}, "rows": {}, "exit": None}
    for record in _records(path.read_bytes()):
        updates = record.run.config.update or record.config.update
        found["config"] |= {_name(update): json.loads(update.value_json) for update in updates}
        if record.HasField("run"):
            run = record.run
            found |= {"id": run.run_id, "name": run.display_name, "group": run.run_group}
            found |= {"job_type": run.job_type, "tags": [*run.tags], "project": run.project}
        if record.HasField("exit"):
            found["exit"] = record.exit.exit_code
        for update in record.summary.update:
            found["summary"][_name(update)] = json.loads(update.value_json)
        items = {_name(item): item.value_json for item in record.history.item}
        row = {name: json.loads(value) for name, value in items.items() if name[0] != "_"}
        if row:
            found["rows"][record.history.step.num] = row
    of_masks = found["config"].pop("_wandb", {}).get("mask/class_labels", {})
    found["labels"] = {
        tuple(key.split("_wandb_delimeter_")): {int(n): name for n, name in kept["value"].items()}
        for key, kept in of_masks.items()
    }
    return found


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _records(data: bytes) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    at, whole = _HEADER.size, b""  # the file begins with a mark of as many bytes
    while at + _HEADER.size <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER.size:  # too little is left of this block for a piece
            at += _BLOCK - at % _BLOCK
            continue
        _, size, kind = _HEADER.unpack_from(data, at)
        if at + _HEADER.size + size > len(data):
            return  # it is being written
        whole += data[at + _HEADER.size : at + _HEADER.size + size]
        at += _HEADER.size + size
        if kind in (_WHOLE, _LAST):
            yield Record.FromString(whole)
            whole = b""
