"""What `--help` prints: experiments with their headlines, and groups. Imports nothing heavy."""

import inspect
import re
from pathlib import Path
from typing import Any

from segsuite.core.config import CONF, options

COSTS = Path(__file__).with_name("costs.yaml")
"""What `scripts/count_experiments.py` has counted."""

_GROUPS = (
    *("data", "method", "method/search", "runtime", "probe", "trainer", "inference", "logger"),
    *("callbacks", "sweep", "debug"),
)


def help_text(name: str, doc: str) -> str:
    """The help of an entry point: what it does, what can be chosen, what exists."""
    defaults = (CONF / f"{name}.yaml").read_text()
    groups = [group for group in _GROUPS if f"{group}:" in defaults and options(group)]
    width = max(map(len, groups), default=0)
    parts = [inspect.cleandoc(doc), ""]
    if "experiment:" in defaults or "experiments:" in defaults:
        parts += [*_experiments(), ""]
    if groups:
        lines = (f"  {group:<{width}}  {' | '.join(options(group))}" for group in groups)
        parts += ["Groups (GROUP=OPTION):", *lines, ""]
    parts += [
        "Any key can be overridden: data.batch_size=8 trainer.max_steps=20000 seed=1",
        "--cfg job shows the whole config, -m sweeps over comma-separated values,",
        "--hydra-help lists Hydra's own flags.",
    ]
    return "\n".join(parts)


def costs() -> dict[str, dict[str, Any]]:
    """What the experiments cost, as `scripts/count_experiments.py` counted them."""
    import yaml

    return (yaml.safe_load(COSTS.read_text()) if COSTS.is_file() else None) or {}


def _experiments() -> list[str]:
    """A line for each: what it costs, the paper's figure, its headline."""
    names, counted = options("experiment"), costs()
    width = max(map(len, names), default=0)
    lines = [f"{'Experiments (experiment=NAME)':<{width + 2}}  params M   GMACs  paper's mIoU"]
    for name in names:
        cost = counted.get(name)
        figures = (f"{cost['parameters']:.2f}", f"{cost['gmacs']:.1f}") if cost else ("–", "–")
        path = CONF / "experiment" / f"{name}.yaml"
        lines.append(
            f"  {name:<{width}}  {figures[0]:>8} {figures[1]:>7} {paper_miou(path) or '–':>13}  "
            f"{headline(path)}"
        )
    return [
        *lines,
        "GMACs: multiply-adds of one image of data.crop_size in 1e9, all tokens kept where a",
        "threshold decides (python scripts/count_experiments.py). Papers' figures are not ours.",
    ]


def paper_miou(path: Path) -> str | None:
    """The mIoU that an experiment's header says its paper prints, in percent."""
    match = re.search(r"^# Paper: .*?([\d.]+) mIoU", path.read_text(), re.MULTILINE)
    return match[1] if match else None


def headline(path: Path) -> str:
    """The first line of a YAML file's header comment that is not a package directive."""
    for line in path.read_text().splitlines():
        text = line.lstrip("# ").strip()
        if line.startswith("#") and text and not text.startswith("@package"):
            return text
        if not line.startswith("#") and line.strip():
            break
    return ""
