"""One start of an entry point."""

from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segsuite.core.build import build, check
from segsuite.core.targets import prefixes


class Run:
    """What an entry point was started with: its config, whom that may name, and its folder.

    Parts are made by their key, so that nobody below an entry point asks who is trusted.

    Attributes:
        config: config of the run.
        allow: import prefixes of other people's packages that it may name.
    """

    def __init__(self, config: DictConfig) -> None:
        self.config, self.allow = config, prefixes(config.allow)

    @cached_property
    def folder(self) -> Path:
        """Where the run writes."""
        return Path(self.config.run.folder)

    @cached_property
    def typed(self) -> list[str]:
        """The overrides that it was started with; none of a config that no start has filled in."""
        return list(OmegaConf.select(self.config, "run.typed") or [])

    def plain(self, key: str | None = None, *, resolve: bool = True) -> Any:
        """The config, or its part at a dotted key, as plain dicts and lists."""
        part = self.config if key is None else OmegaConf.select(self.config, key)
        return OmegaConf.to_container(part, resolve=resolve) if OmegaConf.is_config(part) else part

    def build(self, key: str, **given: Any) -> Any:
        """The object that the config describes at a dotted key, such as `method.network`.

        Args:
            given: further arguments of its constructor, ready built.

        Raises:
            ConfigError: its arguments do not fit.
        """
        return build(OmegaConf.select(self.config, key), path=key, allow=self.allow, **given)

    def build_optional(self, key: str) -> Any | None:
        """As `build`; None where nothing was chosen."""
        return None if OmegaConf.select(self.config, key) is None else self.build(key)

    def build_all(self, group: str) -> list[Any]:
        """One object per entry of a group; `key: null` switches one off."""
        parts = (self.config[group] or {}).items()
        return [self.build(f"{group}.{key}") for key, node in parts if node is not None]

    def check(self, key: str, *, given: tuple[str, ...] = ()) -> None:
        """Raises ConfigError for the first argument below a key that does not fit.

        Args:
            given: names of the arguments that `build` will be given.
        """
        check(OmegaConf.select(self.config, key), path=key, allow=self.allow, given=given)
