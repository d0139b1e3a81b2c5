"""What is known of networks' accuracy: this machine's runs, and what papers print."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from segsuite.bench.paper import own_mious, printed_mious
from segsuite.core.errors import SegsuiteError
from segsuite.core.moved import with_targets_of_today
from segsuite.core.results import read

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C where PyYAML was built with it
_NO_PART = {"weights", "num_classes", "drop_path", "momentum"}
"""Keys of a network's config that say nothing of what it is."""


@dataclass(frozen=True)
class Known:
    """A mIoU, and where it is from.

    Attributes:
        miou: of 1.
        data: the data set.
        source: the run's folder, or "paper".
        tier: 0 for a run on the data that are asked about, 1 for a paper's figure on them, 2 for
            one of other data.
        share: of the best figure that papers print of those data, by this suite's networks.
    """

    miou: float
    data: str
    source: str
    tier: int
    share: float = 1.0

    def __str__(self) -> str:
        return f"{100 * self.miou:.1f} {self.data}, {self.source}"


def best_known(
    experiment: str,
    network: str,
    *,
    data: str,
    runs: Mapping[str, Known],
) -> Known | None:
    """The best that is known of a network; None if nothing is.

    Figures of other data sets count only where nothing is known of these.

    Args:
        experiment: its name.
        network: digest of its config.
        data: name of the data set that is asked about.
        runs: of this machine, by their networks' digests.
    """
    if network in runs:
        return runs[network]
    if experiment in (own := own_mious().get(data, {})):
        return Known(own[experiment] / 100, data, "this suite's README", 1)
    printed = printed_mious()
    for name in (data, *(name for name in printed if name != data)):
        if experiment in printed.get(name, {}):
            miou = printed[name][experiment] / 100
            share = miou / (max(printed[name].values()) / 100)
            return Known(miou, name, "paper", 1 if name == data else 2, share)
    return None


def runs_of(
    folder: Path, *, data: Mapping[str, Any], name: str, tell: Callable[[str], None]
) -> dict[str, Known]:
    """The best finished training of each network on these data.

    Args:
        folder: where trainings are written.
        data: the config of the data, plain.
        name: what the data set is called.
    """
    found: dict[str, Known] = {}
    counted = Counter[str]()
    wanted, passed = data_digest(data), Counter[str]()
    for path in sorted(folder.glob("**/result.json")):
        try:
            config = _config(path.parent)
            if config is None:
                passed["without a training that can be read"] += 1
                continue
            if data_digest(config["data"]) != wanted:
                passed["on other data, or on another folder of them"] += 1
                continue
            network, scored = network_digest(config["method"]["network"]), _score(path)
        except SegsuiteError as error:  # of a record that this suite does not read
            tell(f"{path.parent} does not count: {error}")
            continue
        if scored is None:
            continue
        score, steps = scored
        if score is None:
            passed["not tested, or no better than the commonest class"] += 1
            continue
        counted[network] += 1
        if network not in found or found[network].miou < score:
            source = f"{steps} iterations, {path.parent}" if steps else str(path.parent)
            found[network] = Known(score, name, source, 0)
    for network, count in counted.items():
        if count > 1:  # by luck, too: of several seeds the best is no mean
            best = found[network]
            found[network] = replace(best, source=f"the best of {count}, {best.source}")
    if passed:
        said = "; ".join(f"{count} {why}" for why, count in passed.items())
        tell(f"runs below {folder} that do not count: {said}")
    return found


def _config(folder: Path) -> dict[str, Any] | None:
    """What a training was started with; None where that is not there or is of something else."""
    try:
        config = yaml.load((folder / "config.yaml").read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    whole = isinstance(config, dict) and isinstance(config.get("data"), dict)
    method = config.get("method") if whole else None
    if not isinstance(method, dict) or not isinstance(method.get("network"), dict):
        return None
    return with_targets_of_today(config)


def _score(path: Path) -> tuple[float | None, int | None] | None:
    """Of a training: its mIoU, and after how many iterations; None of anything else. The mIoU is
    None where always answering the commonest class is as good, which says nothing of a network."""
    record = read(path)
    if record.kind != "train":
        return None
    values = {name: metric.value for name, metric in record.entries[0].metrics.items()}
    score, baseline = values.get("test/miou"), values.get("test/baseline_miou") or 0.0
    steps = json.loads(path.read_text()).get("steps")
    return (None if score is None or score <= baseline else score), steps


def data_digest(config: Mapping[str, Any]) -> str:
    """Of what decides which images and classes there are: the reader, the classes, the folder.

    The size of drawn scenes follows the crops, and does not count.
    """
    reader = {k: v for k, v in (config.get("reader") or {}).items() if k != "size"}
    folder = str(Path(config["root"]).resolve()) if config.get("root") else None
    return _digest([reader, config.get("classes"), config.get("num_classes"), folder])


def network_digest(config: Mapping[str, Any]) -> str:
    """Of what a network is, whatever it was trained from, for which classes and at which size."""
    return _digest(sorted(_parts(config, "")))


def _parts(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, own in value.items():
            if name not in _NO_PART and not re.search(r"(^|_)size$", str(name)):
                yield from _parts(own, f"{where}.{name}")
    else:
        yield f"{where}={json.dumps(value)}"


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]
