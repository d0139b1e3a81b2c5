"""Weights & Biases: one run per training, whole however often it was resumed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger as Lightnings
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from segsuite.engine.loggers.csv import rows_of
from segsuite.engine.loggers.journal import Journal

_STEP = "trainer/global_step"
_OFFLINE = ("offline", "dryrun")


class WandbLogger(Lightnings):
    """Lightning's logger, with a run of its own for each training of a process; $WANDB_MODE wins.

    W&B's step is the training's. Offline, W&B begins a new folder at each start, whatever the id;
    what was logged up to the checkpoint is logged there again, so that the newest folder holds the
    whole run. Online, only what the server has not got is.

    Args:
        folder: folder of the run; wandb's own files go into it.
        id: id of the run, the same however often it is resumed.
        group: name that the jobs of a sweep are grouped by.
        offline: whether nothing leaves this machine; wandb then prints the command to sync later.
    """

    def __init__(
        self,
        *,
        folder: str,
        id: str,
        name: str,
        project: str = "segsuite",
        group: str | None = None,
        offline: bool = True,
    ) -> None:
        mode = os.environ.get("WANDB_MODE") or ("offline" if offline else "online")
        super().__init__(save_dir=folder, id=id, name=name, project=project, group=group)
        # Not Lightning's `offline`, which sets $WANDB_MODE for everything that comes after.
        self._wandb_init |= {"mode": mode, "reinit": "create_new"}
        self._wandb_init.pop("anonymous", None)  # wandb warns that it has no effect any more
        if mode in _OFFLINE:
            self._wandb_init.pop("resume", None)  # ignored there, with a warning
        self._folder = Path(folder)
        self._journal = Journal(self._folder / "wandb" / "rows.jsonl")
        self._newest = -1  # the step of the last row
        self._sent: dict[int, set[str]] = {}

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
    def log_record(self, record: Mapping[str, Any]) -> None:
        """Puts the record of results into the run's summary, as `record`: what every other record
        says, with machine and commit, beside the metrics of the training."""
        self.experiment.summary["record"] = dict(record)

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
            images = row.get("images", {})
            self._sent.setdefault(self._newest, set()).update((*figures, *images))
            self._send(self._newest, figures)
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

    def _inside(self, path: str) -> str:
        """The path within the run's folder, which may be moved before the run is resumed."""
        absolute, folder = Path(path).absolute(), self._folder.absolute()
        return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)
