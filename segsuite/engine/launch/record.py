"""What is written about a run: its config, where and by what it was run, and its result.

config.yaml   the resolved config
run.json      id, what it goes on from; command, git commit, versions and device of each start
result.json   the final metrics; a run that has it is finished
"""

import hashlib
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segsuite.core.files import remove_leftovers, write_json, written_whole
from segsuite.core.hints import default_of
from segsuite.core.moved import with_targets_of_today
from segsuite.core.records import rows
from segsuite.core.results import Entry, Record
from segsuite.core.targets import locate
from segsuite.engine.launch import folders
from segsuite.engine.launch.run import Run

_PACKAGES = ("segsuite", "torch", "torchvision", "lightning", "hydra-core", "timm", "torchmetrics")
_MAY_DIFFER = (
    *("resume", "ckpt_path", "run.", "paths.", "logger.", "hydra.", "callbacks.progress"),
    "trainer.log_every_n_steps",  # follows trainer.max_steps
)


def plain(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """The config as plain dicts and lists."""
    return OmegaConf.to_container(cfg, resolve=resolve)


def flat(cfg: DictConfig) -> dict[str, Any]:
    """The whole config by dotted keys: `{"data.batch_size": 8, ...}`; lists stay whole."""
    return dict(leaves(plain(cfg), ""))


def run_id(folder: Path) -> str:
    """The run's identity, the same however often it is resumed: W&B goes on with the same run."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]


def write_start(folder: Path, cfg: DictConfig) -> None:
    """Writes config.yaml, and begins run.json or adds a start to it; removes leftovers."""
    for place in (folder, (folder / folders.LAST).parent):
        remove_leftovers(place)
    record = starts(folder) or {"id": run_id(folder), "starts": []}
    record[folders.GOES_ON_FROM] = OmegaConf.select(cfg, f"run.{folders.GOES_ON_FROM}")
    record["starts"].append(_circumstances())
    write_json(folder / folders.RUN, record)
    with written_whole(folder / folders.CONFIG) as beside:
        beside.write_text(OmegaConf.to_yaml(cfg, resolve=True))
    if not (folder / ".hydra").is_dir():  # started from Python: what Hydra writes of other starts
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
        typed = OmegaConf.create(list(OmegaConf.select(cfg, "run.typed") or []))
        (folder / ".hydra" / "overrides.yaml").write_text(OmegaConf.to_yaml(typed))


def starts(folder: Path) -> dict[str, Any] | None:
    """run.json, or None where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    record = folders.read_record(folder / folders.RUN)
    if record is not None and not isinstance(record.get("starts"), list):
        raise folders.damaged(folder / folders.RUN, "no list of starts")
    return record


def check_whole(folder: Path) -> None:
    """Raises ConfigError for the first record of an earlier start in this folder that is damaged.

    Before anything is trained: some are read, or written again, hours later.
    """
    starts(folder)
    earlier_config(folder)
    folders.read_best(folder / folders.BEST.with_suffix(".json"))


def earlier_config(folder: Path) -> dict[str, Any] | None:
    """The config of an earlier start in this folder, or None.

    Raises:
        ConfigError: config.yaml is damaged.
    """
    from yaml import YAMLError

    path = folder / folders.CONFIG
    if not path.exists():
        return None
    try:
        config = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise folders.damaged(path, " ".join(str(error).split())) from error
    if not isinstance(config, dict) or not config:
        raise folders.damaged(path, "no mapping of keys")
    return with_targets_of_today(config)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run found, as `result.json` in its folder holds it.

    Attributes:
        folder: the run's folder; relative where `paths.logs` is.
        own: what its entry point writes beside the record; `optimized` is what a sweeper is told.
        record: what was found, with its circumstances.
    """

    folder: Path
    own: Mapping[str, Any]
    record: Record

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the one network that was trained or scored; shares from 0 to 1.

        Raises:
            ValueError: there are several networks or files.
        """
        return {name: metric.value for name, metric in self._only.metrics.items()}

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that the metrics are of: of a training the best one, or the last.

        Raises:
            ValueError: there are several networks or files.
        """
        return Path(self._only.artefacts["checkpoint"])

    def rows(self) -> list[dict[str, Any]]:
        """A flat row for each network or file, see `core.records.rows`."""
        return rows(self.record, self.folder / folders.RESULT)

    def written(self) -> Self:
        """Writes result.json, which marks the run as finished."""
        own = {**self.own, "record": self.record.to_dict()}
        write_json(self.folder / folders.RESULT, own)
        return self

    @property
    def _only(self) -> Entry:
        if len(self.record.entries) != 1:
            names = ", ".join(entry.name for entry in self.record.entries)
            raise ValueError(f"there are several ({names}); `rows()` has each of them")
        return self.record.entries[0]


def result_of(
    run: Run, own: Mapping[str, Any], *, kind: str, entries: Sequence[Entry], device: Any = "cpu"
) -> Result:
    """What a run found, to be `written`.

    Args:
        own: what this entry point or probe writes beside the record.
        kind: entry point or probe.
        device: where it was measured.
    """
    name = str(run.config.name or kind)
    record = record_of(kind, name, typed=run.typed, entries=entries, device=device)
    return Result(folder=run.folder, own=own, record=record)


def record_of(
    kind: str, name: str, *, typed: Sequence[str], entries: Sequence[Entry], device: Any = "cpu"
) -> Record:
    """What was found, with its circumstances."""
    import torch

    from segsuite.measure.machine import machine

    under = {"machine": machine(torch.device(device)), "commit": _git()}
    return Record(kind=kind, name=name, config=typed, entries=entries, **under)


def differences(
    folder: Path, cfg: DictConfig, *, checkpoint: Mapping[str, Any] | None = None
) -> list[str]:
    """What the config of an earlier start in this folder has otherwise: "key: then -> now".

    A setting that a part got since, and that is what the part was without it, is none; and one that
    stands at several places, by a reference, is told of at its own.

    Args:
        checkpoint: config of the checkpoint that is gone on from, for a folder without a start.
    """
    earlier = earlier_config(folder) or checkpoint
    if earlier is None:
        return []
    then = dict(leaves(earlier, ""))
    now = flat(cfg)
    changes = {
        key: f"{then.get(key, 'absent')} -> {now.get(key, 'absent')}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
        and not key.startswith(_MAY_DIFFER)
        and not (key not in then and _is_default(cfg, key))
    }
    plain = OmegaConf.to_container(cfg, resolve=False)
    return [
        f"{key}: {change}"
        for key, change in changes.items()
        if changes.get(_referred(plain, key)) != change
    ]


def _referred(plain: Any, key: str) -> str | None:
    """The key that a setting, or a part that it is in, refers to by `${...}`; None if it does not.

    `method.optimizer.lr` for `method.task.optimizer.lr`, of `optimizer: ${method.optimizer}`.
    """
    names = key.split(".")
    for depth, name in enumerate(names, start=1):
        plain = plain.get(name) if isinstance(plain, Mapping) else None
        if isinstance(plain, str) and (reference := re.fullmatch(r"\$\{([\w.]+)\}", plain)):
            return ".".join([reference[1], *names[depth:]])
    return None


def _is_default(cfg: DictConfig, key: str) -> bool:
    """Whether a setting of a part of the suite is what the part takes without it."""
    owner, _, name = key.rpartition(".")
    part = OmegaConf.select(cfg, owner) if owner else None
    if not isinstance(part, DictConfig) or not str(part.get("_target_")).startswith("segsuite."):
        return False
    return default_of(locate(part._target_, owner), name) == part[name]


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted keys; lists and empty mappings stay whole."""
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            yield from leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _circumstances() -> dict[str, Any]:
    import torch

    from segsuite.measure.machine import processor

    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [sys.executable, *sys.orig_argv[1:]],
        "git": _git(),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor(),
        "threads": torch.get_num_threads(),
        "host": platform.node(),
        "system": platform.platform(),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


def _git() -> dict[str, Any] | None:
    """The commit of the checkout that the suite is run from, or None outside of one."""
    here = Path(__file__).parent
    try:
        commit = _output("git", "-C", str(here), "rev-parse", "HEAD")
        changed = _output("git", "-C", str(here), "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
