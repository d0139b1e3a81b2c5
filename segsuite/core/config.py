"""Where the config folder is, and what Hydra makes of it. Imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""Inside the package when installed, beside it in a checkout."""


def composed(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config `name` with these overrides, within a door and outside of one.

    Raises:
        HydraException: an override does not fit.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():  # within a door, Hydra is there already
        return compose(name, list(overrides))
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return compose(name, list(overrides))
