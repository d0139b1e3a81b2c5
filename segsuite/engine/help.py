"""What `--help` prints: experiments with their headlines, and groups. Imports nothing heavy."""

import inspect
from pathlib import Path

from segsuite.core.config import CONF

_GROUPS = ("data", "method", "trainer", "inference", "logger", "callbacks", "sweep", "debug")


def help_text(name: str, doc: str) -> str:
    """The help of a door: what it does, what can be chosen, what exists."""
    defaults = (CONF / f"{name}.yaml").read_text()
    groups = [group for group in _GROUPS if f"{group}:" in defaults and options(group)]
    width = max(map(len, groups), default=0)
    parts = [inspect.cleandoc(doc), ""]
    if "experiment:" in defaults or "experiments:" in defaults:
        parts += ["Experiments (experiment=NAME):", *_headlines("experiment"), ""]
    if groups:
        parts += ["Groups (GROUP=OPTION):"]
        parts += [f"  {group:<{width}}  {' | '.join(options(group))}" for group in groups]
        parts += [""]
    return "\n".join(
        [
            *parts,
            "Any key can be overridden: data.batch_size=8 trainer.max_steps=20000 seed=1",
            "--cfg job shows the whole config, -m sweeps over comma-separated values,",
            "--hydra-help lists Hydra's own flags.",
        ]
    )


def options(group: str) -> list[str]:
    """The options of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _headlines(group: str) -> list[str]:
    names = options(group)
    width = max(map(len, names), default=0)
    return [f"  {name:<{width}}  {headline(CONF / group / f'{name}.yaml')}" for name in names]


def headline(path: Path) -> str:
    """The first line of a YAML file's header comment that is not a package directive."""
    for line in path.read_text().splitlines():
        text = line.lstrip("# ").strip()
        if line.startswith("#") and text and not text.startswith("@package"):
            return text
        if not line.startswith("#") and line.strip():
            break
    return ""
