"""How an entry point is started: what only its start knows, and what is refused before it begins.

Alike from a command line (`entry_point`) and from Python (`called`). Imports nothing heavy.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, open_dict

from segsuite.core.config import check_choices
from segsuite.engine.launch import folders
from segsuite.engine.launch.heeded import check_heeded
from segsuite.engine.launch.record import run_id
from segsuite.engine.launch.run import Run
from segsuite.engine.launch.settings import check_groups
from segsuite.engine.launch.tags import tags


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is known of an entry point before any config.

    Attributes:
        name: its name, and that of its config `conf/<name>.yaml`.
        prepare: may replace what was typed before Hydra reads it.
        goes_on_from: the file in a run's folder that a run goes on from; None where it cannot.
    """

    name: str
    prepare: Callable[[list[str]], list[str]] | None = None
    goes_on_from: Path | None = None

    def fill_in(
        self,
        cfg: DictConfig,
        folder: Path | None,
        *,
        choices: Mapping[str, str | None],
        typed: Sequence[str],
        sweeping: bool = False,
    ) -> None:
        """Puts what only the start knows into the config: the run's name and folder, what was
        typed, its sweep."""
        with open_dict(cfg):
            if isinstance(cfg.get("run"), DictConfig):  # else it is refused in a moment
                cfg.run.folder = folder and str(folder)
                cfg.run.id = folder and run_id(folder)
                cfg.run.kind, cfg.run.tags = self.name, tags(cfg, choices)
                cfg.run.typed = [re.sub(r"(\\*)\$\{", r"\1\1\\${", o) for o in typed]  # as text
                cfg.run[folders.GOES_ON_FROM] = self.goes_on_from and self.goes_on_from.as_posix()
                if sweeping and folder:
                    cfg.run.sweep, cfg.run.label = folder.parent.name, folder.name
            cfg.name = folders.run_name(cfg.get("name"), choices)

    def check(
        self, cfg: DictConfig, *, choices: Mapping[str, str | None], typed: Sequence[str]
    ) -> None:
        """Raises ConfigError for a config that cannot be meant, before anything is made of it."""
        check_groups(cfg, self.name)
        check_choices(choices)  # before keys of a wrong part are told
        check_heeded(cfg, self.name, typed)
        for key, parent in cfg.paths.items():
            folders.parent(f"paths.{key}", parent)
        if self.name != "train" and cfg.get("logger"):  # which are asked for when all is measured
            Run(cfg).build_all("logger")
