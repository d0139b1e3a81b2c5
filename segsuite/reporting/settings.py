"""What a run was set to, with references in place, so that a value stands once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segsuite.core.errors import ConfigError
from segsuite.engine.launch.record import leaves

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C where PyYAML was built with it
_SAYS_NOTHING = ("run.", "paths.", "logger.", "hydra.", "callbacks.progress", "resume", "name")
"""Keys that differ from run to run, and change nothing in what is found."""
_GROUPS = ("experiment", "data", "method")
_NO_CHOICE = ("hydra/", "sweep", "paths", "logger", "debug")


def settings_of(folder: Path) -> dict[str, Any]:
    """A run's config by dotted keys; empty where none was written.

    As Hydra composed it, or else as it was resolved, where a value stands at several places.

    Raises:
        ConfigError: it is there, and cannot be read.
    """
    for path in (folder / ".hydra" / "config.yaml", folder / "config.yaml"):
        if path.exists():
            return {
                key: value
                for key, value in leaves(_read(path))
                if not key.startswith(_SAYS_NOTHING)
            }
    return {}


def choices_of(folder: Path) -> dict[str, str]:
    """What was chosen of each group, such as `data: camvid`; of runs that were started from Python
    what was typed of them."""
    path = folder / ".hydra" / "hydra.yaml"
    if not path.exists():
        typed = typed_of(folder).items()
        return {key: value for key, value in typed if key in _GROUPS or "/" in key}
    choices: Any = _read(path)
    for key in ("hydra", "runtime", "choices"):
        choices = choices.get(key) if isinstance(choices, Mapping) else None
    return {
        group: str(chosen)
        for group, chosen in (choices.items() if isinstance(choices, Mapping) else ())
        if chosen is not None and not group.startswith(_NO_CHOICE)
    }


def typed_of(folder: Path) -> dict[str, str]:
    """What was typed, by its key."""
    path = folder / ".hydra" / "overrides.yaml"
    typed = _loaded(path) if path.exists() else []
    if not isinstance(typed, list):
        raise ConfigError(f"{path} holds no list of overrides")
    parted = [str(override).partition("=") for override in typed]
    return {key.lstrip("+"): value for key, _, value in parted}


def without_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that runs with other seeds share; other seeds refer to the run's own."""
    return {key: value for key, value in settings.items() if key != "seed"}


def differing(many: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that not all of them have alike, in the order in which they come."""
    keys = dict.fromkeys(key for settings in many for key in settings)
    return [key for key in keys if len({text(settings.get(key)) for settings in many}) > 1]


def text(value: Any) -> str:
    """A value of a config as it would be typed; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    return str(value)


def _read(path: Path) -> Mapping[str, Any]:
    content = _loaded(path)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} holds no config")
    return content


def _loaded(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
