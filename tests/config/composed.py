"""What there is in conf/, and its configs as a run would get them."""

from pathlib import Path

from omegaconf import DictConfig

from segsuite.core.config import CONF
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.help import options

EXPERIMENTS = options("experiment")
DATA = options("data")
ENTRY_POINTS = sorted(path.stem for path in CONF.glob("*.yaml"))
LIBRARIES = {"yolo26n_cityscapes": "ultralytics"}
"""What some experiments need that tests do without."""
SWEEPS = options("sweep")
FAMILIES = ("segvit", "essnet", "mobile", "hyctas", "outside", "deeplab")
"""Folders of parts within their groups; deeplab's are of two families."""
PARTS = sorted(
    f"{'/'.join(p for p in path.relative_to(CONF).parent.parts if p not in FAMILIES)}={path.stem}"
    for path in CONF.glob("*/**/*.yaml")
    if path.parent.name != "base"  # what the files of a group take in
)
"""Everything that can be chosen, such as `method/head=atm_cascade`."""

_TABLE = "classes:\n  - {id: 0, name: road}\n  - {id: 1, name: crack}\n"


def own_data(folder: Path) -> Path:
    """A folder that `data=folder` counts its classes in."""
    (folder / "classes.yaml").write_text(_TABLE)
    return folder


def composed(*overrides: str, root: Path | None = None) -> DictConfig:
    """The config of a training, as the entry point completes it."""
    given = [] if root is None else [f"data.root={root}"]
    cfg = compose("train", [*overrides, *given])
    cfg.run.folder, cfg.run.id = "logs/train/some/run", "0123"
    cfg.name = cfg.name or "some"
    return cfg
