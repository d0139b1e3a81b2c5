"""Weights & Biases: one run per training, whole however often it was resumed."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger as Lightnings
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from numpy.typing import NDArray
from PIL import Image

from segsuite.core.errors import ConfigError
from segsuite.core.files import written_whole
from segsuite.engine.loggers.csv import rows_of
from segsuite.engine.loggers.journal import Journal
from segsuite.engine.loggers.masks import ClassBytes, shown

FOLDER = "wandb"
ROWS = Path(FOLDER) / "rows.jsonl"
_STEP = "trainer/global_step"
_OFFLINE = ("offline", "dryrun")
_LONGEST, _LONGEST_TAG, _NOT_IN_PROJECTS = 128, 64, "/\\#?%:"
"""What W&B's server takes. Offline, only the sync would tell."""


class WandbLogger(Lightnings):
    """Lightning's logger, with a run of its own for each job of a process; $WANDB_MODE wins.

    W&B's step is the training's. Offline, W&B begins a new folder at each start, whatever the id;
    what was logged up to the checkpoint is logged there again, so that the newest folder holds the
    whole run. Online, only what the server has not got is.

    Args:
        folder: folder of the run; wandb's own files go into it.
        id: id of the run, the same however often it is resumed.
        name: what it is called; names that are longer than W&B's are cut, and end in a digest.
        entity: the team or user that it belongs to; None is the account's own.
        group: name that the jobs of a sweep are grouped by.
        job_type: what kind of job it is.
        tags: words that it is found by.
        offline: whether nothing leaves this machine; wandb then prints the command to sync later.

    Raises:
        ConfigError: W&B takes no project of that name.
    """

    def __init__(
        self,
        *,
        folder: str,
        id: str,
        name: str,
        project: str = "segsuite",
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        offline: bool = True,
    ) -> None:
        if not 0 < len(project) <= _LONGEST or set(project) & set(_NOT_IN_PROJECTS):
            raise ConfigError(
                f"logger.wandb.project={project} is no name of a project of W&B: it takes up to "
                f"{_LONGEST} characters and none of {_NOT_IN_PROJECTS}"
            )
        mode = os.environ.get("WANDB_MODE") or ("offline" if offline else "online")
        of_run = {
            "entity": entity,
            "group": group and _cut(group, _LONGEST),
            "job_type": job_type and _cut(job_type, _LONGEST_TAG),
            "tags": [_cut(tag, _LONGEST_TAG) for tag in tags if tag],
        }
        name = _cut(name, _LONGEST)
        super().__init__(save_dir=folder, id=id, name=name, project=project, **of_run)
        # Not Lightning's `offline`, which sets $WANDB_MODE for everything that comes after.
        self._wandb_init |= {"mode": mode, "reinit": "create_new"}
        self._wandb_init.pop("anonymous", None)  # wandb warns that it has no effect any more
        if mode in _OFFLINE:
            self._wandb_init.pop("resume", None)  # ignored there, with a warning
        self._folder = Path(folder)
        self._journal = Journal(self._folder / ROWS)
        self._newest = -1  # the step of the last row
        self._sent: dict[int, set[str]] = {}
        self._classes = ClassBytes()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """wandb's run, begun when it is first asked for; never another job's in this process."""
        if self._experiment is None:
            import wandb

            self._folder.mkdir(parents=True, exist_ok=True)
            self._experiment = wandb.init(**self._wandb_init)
            self._experiment.define_metric(_STEP)
            self._experiment.define_metric("*", step_metric=_STEP, step_sync=True)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Sends the config, nested again: W&B shows it by dotted keys, but groups and filters runs
        by parts of a nested one alone.

        Args:
            params: the config by dotted keys.
        """
        super().log_hyperparams(_nested(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs a row of metrics; without `step` it belongs to the last one."""
        step = self._begin_row(step)
        figures = {name: value for name, value in metrics.items() if name != "epoch"}
        plain = {name: float(v) for name, v in figures.items() if isinstance(v, int | float)}
        if plain:
            self._journal.add(step, figures=plain)
        self._send(step, figures)

    @rank_zero_only
    def log_image(
        self, key: str, images: list[Any], step: int | None = None, **kwargs: Any
    ) -> None:
        """Logs images; those that are files are logged again by a resumed run, if they are there.

        Args:
            images: paths as text, or what else `wandb.Image` takes.
        """
        step = self._begin_row(step)
        paths = [image for image in images if isinstance(image, str)]
        if paths and not kwargs:
            self._journal.add(step, images={key: [self._inside(path) for path in paths]})
        super().log_image(key, images, step, **kwargs)

    @rank_zero_only
    def log_masks(
        self,
        key: str,
        image: NDArray[np.uint8],
        masks: Mapping[str, NDArray[np.integer]],
        classes: Sequence[str],
        step: int | None = None,
    ) -> None:
        """Logs an image under label maps, whose classes W&B switches on and off.

        Shapes: image (H, W, 3), masks (h, w), of class ids, below zero where there is none
        """
        step = self._begin_row(step)
        numbered = {name: self._classes.numbered(mask, classes) for name, mask in masks.items()}
        size = next(iter(masks.values())).shape
        kept = {
            "image": self._kept(shown(image, size)),
            "masks": {name: self._kept(shown(mask, size)) for name, mask in numbered.items()},
            "names": {str(number): name for number, name in self._classes.names.items()},
        }
        self._journal.add(step, masks={key: kept})
        self._send_masks(step, key, kept)

    @rank_zero_only
    def log_record(
        self,
        record: Mapping[str, Any],
        tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]],
    ) -> None:
        """Puts the record of results into the run's summary, as `record`: what every other record
        says, with machine and commit, beside the metrics of the run.

        Args:
            tables: columns and rows by name; each is logged as `tables/<name>`.
        """
        import wandb

        self.experiment.summary["record"] = dict(record)
        # What a column holds may differ, as a setting that is a number or the word `auto`.
        found = {
            f"tables/{name}": wandb.Table(list(columns), list(rows), allow_mixed_types=True)
            for name, (columns, rows) in tables.items()
            if rows
        }
        self._send(self._begin_row(None), found)

    @rank_zero_only
    def finish(self, *, failed: bool = False) -> None:
        """Ends wandb's run; the next training of this process begins its own."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(failed))

    def _begin_row(self, step: int | None) -> int:
        """The step of a row to be logged. Before the first one, earlier starts' rows come back."""
        if self._newest < 0:
            self._bring_back(0 if step is None else int(step))
        # wandb drops what is logged for a step that it has gone past.
        self._newest = self._newest if step is None else max(int(step), self._newest)
        return self._newest

    def _bring_back(self, step: int) -> None:
        self._newest = 0
        if not self._journal.path.exists():  # begun without W&B, or by an earlier version
            for row in rows_of(self._folder / "metrics.csv"):
                earlier = int(row.pop("step"))
                self._journal.add(earlier, figures={k: float(v) for k, v in row.items()})
        for row in self._journal.go_on_at(step):
            self._newest, figures = row["step"], row.get("figures", {})
            images, masks = row.get("images", {}), row.get("masks", {})
            self._sent.setdefault(self._newest, set()).update((*figures, *images, *masks))
            self._send(self._newest, figures)
            for key, kept in masks.items():
                self._classes.restore({int(k): name for k, name in kept["names"].items()})
                self._send_masks(self._newest, key, kept)
            for key, paths in images.items():
                there = [str(p) for p in map(self._folder.joinpath, paths) if p.exists()]
                if there:
                    super().log_image(key, there, self._newest)

    def _send(self, step: int, values: Mapping[str, Any]) -> None:
        run = self.experiment
        begins_at = run.starting_step if run.resumed else 0  # behind what the server has got
        if step < begins_at:
            known = self._sent.get(step, ())
            values = {name: value for name, value in values.items() if name not in known}
        if values:
            run.log({**values, _STEP: step}, step=max(step, begins_at))

    def _kept(self, picture: Image.Image) -> str:
        """Where a picture lies within the run's folder: once, however often it is logged."""
        digest = hashlib.sha256(picture.tobytes() + str(picture.size).encode()).hexdigest()[:20]
        path = self._folder / FOLDER / "masks" / f"{digest}.png"
        if not path.exists():
            with written_whole(path) as beside:
                picture.save(beside)
        return self._inside(str(path))

    def _send_masks(self, step: int, key: str, kept: Mapping[str, Any]) -> None:
        import wandb

        paths = {name: self._folder / path for name, path in kept["masks"].items()}
        image = self._folder / kept["image"]
        if not all(path.exists() for path in (image, *paths.values())):
            return
        names = dict(self._classes.names)
        masks = {
            name: {"mask_data": np.asarray(Image.open(path)), "class_labels": names}
            for name, path in paths.items()
        }
        self._send(step, {key: wandb.Image(str(image), masks=masks)})

    def _inside(self, path: str) -> str:
        """The path within the run's folder, which may be moved before the run is resumed."""
        absolute, folder = Path(path).absolute(), self._folder.absolute()
        return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as dicts in dicts; a key that is not to be had so, stays as it is."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *above, last = key.split(".")
        node: Any = nested
        for name in above:
            node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if isinstance(node, dict) and last not in node:
            node[last] = value
        else:
            nested[key] = value
    return nested


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
