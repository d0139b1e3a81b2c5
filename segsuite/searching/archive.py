"""Every architecture that was evaluated, a line of JSON each, and another one where its latency was
measured: the only state of a search.

A search that goes on asks for the same candidates again and finds their answers here, so that
nothing else need be kept, and a kill at any moment costs the evaluation that was under way.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from segsuite.core.errors import ConfigError

VERSION = 1
"""Of the form of the file."""


def key_of(plain: Mapping[str, Any]) -> str:
    """A short name of an architecture, of its plain form; equal architectures have one."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    # A letter in front, since a config would read digits alone as a number.
    return "g" + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Archive:
    """What is known of architectures, by their keys, in the order in which it was found.

    One search at a time writes to a file; several may share it one after the other. While one does,
    a file beside it is locked.

    Args:
        path: the file; made with the first answer where there is none.
        about: what the answers depend on (search space, supernet, images); it stands in the first
            line.

    Raises:
        ConfigError: the file is of other circumstances, or another search writes to it, or it is
            damaged in another place than its last line, which a kill may have cut.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self.about = path, dict(about)
        self._known: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{path}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(
                f"{path} is written to by another search; wait for its end, or type another "
                "archive=FILE"
            ) from error
        if path.exists() and (lines := path.read_bytes().splitlines(keepends=True)):
            self._read(lines)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._known[key]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._known.values())

    def add(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keeps what was found of an architecture; on the disk when this returns."""
        self.begin()
        self._known[key] = {"key": key, **entry}
        self._append(self._known[key])

    def begin(self) -> None:
        """Makes the file, with what its answers depend on, if there is none."""
        if not self.path.exists() or not self.path.stat().st_size:
            self._append({"version": VERSION, **self.about})

    def close(self) -> None:
        """Lets another search write to the file."""
        self._lock.release()

    def _append(self, plain: Mapping[str, Any]) -> None:
        with open(self.path, "ab") as file:
            file.write(json.dumps(plain).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, lines: list[bytes]) -> None:
        entries, whole = [], 0
        for number, line in enumerate(lines, start=1):
            try:
                entries.append(json.loads(line))
                if not line.endswith(b"\n"):
                    raise ValueError("cut")
            except ValueError as error:
                if number == len(lines) > 1:  # a kill came while it was written
                    entries = entries[: number - 1]
                    break
                raise ConfigError(
                    f"{self.path}, line {number}, is no JSON; it is no archive of a search, or "
                    "damaged. Type another name=, or remove that line"
                ) from error
            whole += len(line)
        self._check(entries[0])
        if whole < sum(map(len, lines)):
            os.truncate(self.path, whole)
        self._known = {entry["key"]: entry for entry in entries[1:]}

    def _check(self, first: Any) -> None:
        if not isinstance(first, Mapping) or first.get("version") != VERSION:
            raise ConfigError(f"{self.path} is no archive of a search; type another name")
        there = {"version": VERSION, **json.loads(json.dumps(self.about))}
        for name in sorted({*there, *first}):
            if there.get(name) != first.get(name):
                raise ConfigError(
                    f"{self.path} is the archive of another search: {name} was "
                    f"{first.get(name)!r}, and is {there.get(name)!r}. Its answers would not be "
                    "those of this one; type another name=, or the settings of before"
                )
