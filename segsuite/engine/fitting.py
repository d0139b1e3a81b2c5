"""A training from its first iteration to result.json."""

import logging
from pathlib import Path
from typing import Any

from lightning import LightningDataModule, Trainer

from segsuite.core.checkpoint import load_weights, network_state, read_checkpoint
from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.results import Entry, metrics_of
from segsuite.engine.callbacks.checkpoints import Checkpoints
from segsuite.engine.launch import folders
from segsuite.engine.launch.rebuild import numbers_of
from segsuite.engine.launch.record import Result, result_of
from segsuite.engine.launch.run import Run
from segsuite.engine.result import finished
from segsuite.engine.resuming import ResumePoint, restoring
from segsuite.engine.task import BaseTask
from segsuite.measure.operations import count_used_parameters
from segsuite.measure.planned import Planned
from segsuite.nn.for_training import make_ready
from segsuite.nn.segmenter import Segmenter

log = logging.getLogger(__name__)


def fit(
    trainer: Trainer, task: BaseTask, data: LightningDataModule, resumed: ResumePoint | None
) -> None:
    """Trains to the end, from a checkpoint if one is given; some modules of the network are
    replaced by others that are trained faster, see `nn.for_training`.

    A run that was stopped in its last validation has nothing left to train; Lightning would end it
    without that validation, and its best checkpoint would be an earlier one.

    Raises:
        CheckpointError: a part of the checkpoint that only the trainer knows is damaged.
        DivergedError: losses, gradients or weights are no longer finite.
    """
    make_ready(task.network)
    path = None if resumed is None else resumed.path
    with restoring(path):
        trainer.fit(task, datamodule=data, ckpt_path=path, weights_only=True)
    is_done = resumed is not None and resumed.step == trainer.max_steps
    for callback in _checkpoints(trainer) if is_done else ():
        if callback.last.exists():
            _give(task, callback.last)
            trainer.validate(task, datamodule=data, verbose=False)
            callback.catch_up(trainer)


def final_metrics(
    run: Run, trainer: Trainer, task: BaseTask, data: LightningDataModule
) -> dict[str, Any]:
    """All metrics of the run: the last ones logged, and the test of its best (or last) weights.

    Raises:
        ConfigError: the settings allowed no iteration.
    """
    # The last validation may have been made before the run was resumed.
    metrics = {k: v for c in _checkpoints(trainer) for k, v in c.validation().items()}
    metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    best, last = run.folder / folders.BEST, run.folder / folders.LAST
    chosen = best if run.config.final == "best" else last
    if not trainer.strategy.broadcast(best.exists()) and last.exists():
        _keep_last(trainer)
        chosen = last
    if not chosen.exists():
        raise ConfigError(
            "not one iteration was trained, so that there is nothing to test; look at what was set "
            "in trainer beside max_steps"
        )
    _give(task, chosen)
    trainer.test(task, datamodule=data, verbose=False)
    metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {**metrics, "checkpoint": str(chosen)}


def _checkpoints(trainer: Trainer) -> list[Checkpoints]:
    return [callback for callback in trainer.callbacks if isinstance(callback, Checkpoints)]


def _keep_last(trainer: Trainer) -> None:
    """Lets a run leave a best checkpoint in which no validation chose one."""
    if trainer.is_global_zero:
        for callback in _checkpoints(trainer):
            callback.keep_last_as_best()
        log.info(
            "no validation chose a best checkpoint before the end, so that %s is the last one, %s "
            "(trainer.val_check_interval=N validates every N iterations)",
            *(folders.BEST, folders.LAST),
        )
    trainer.strategy.barrier("best.ckpt")


def _give(task: BaseTask, checkpoint: Path) -> None:
    # Not by the trainer's ckpt_path: with EMA that brings back the weights that are not averaged.
    state = network_state(read_checkpoint(checkpoint), checkpoint)
    load_weights(task.network, state, source=str(checkpoint))


def finish(
    run: Run,
    metrics: dict[str, Any],
    trainer: Trainer,
    task: BaseTask,
    *,
    cost: Planned | None = None,
) -> Result:
    """Writes result.json, after which the run counts as finished, and gives what it holds.

    Args:
        cost: what an image of the crops' size costs; None where it is not known.

    Raises:
        ConfigError: that metric is not among those logged.
    """
    checkpoint, logged = metrics.pop("checkpoint"), set(metrics)
    metric = task.resolved(run.config.optimized_metric)
    if metric is not None and metric not in metrics:
        raise ConfigError(
            f"optimized_metric={metric} is not logged{did_you_mean(metric, metrics)}; with the "
            "right one and resume=true only the last test is made again"
        )
    optimized = None if metric is None else float(metrics[metric])
    numbers, tested_on = numbers_of(metrics), tested(trainer.datamodule, checkpoint)
    name, files = str(run.config.name), {"checkpoint": checkpoint}
    own = {
        "name": run.config.name,
        "optimized": optimized,
        "optimized_metric": metric,
        "higher_is_better": task.evaluator.higher_is_better,
        "metrics": numbers,
        "steps": trainer.global_step,
        "checkpoint": checkpoint,
        "test": tested_on,
    }
    known = numbers | _costs(task, cost)
    settings = {} if cost is None else {"size": list(cost.size)}
    entry = Entry(name=name, metrics=metrics_of(known), settings=settings, artefacts=files)
    device = trainer.strategy.root_device
    result = result_of(run, own, kind="train", entries=[entry], device=device)
    if trainer.is_global_zero:
        what = f"{metric} ({tested_on})" if str(metric).startswith("test/") else str(metric)
        shown = None if optimized is None else f"{optimized:.4g}"
        log.info("%s = %s; results in %s", what, shown, run.folder)
        for file in profiles(trainer):
            log.info("the profiler's report: %s", file)
        shown_to = {"loggers": trainer.loggers, "step": trainer.global_step, "known": logged}
        finished(run, result, **shown_to)  # last of all: it marks the run as finished
    return result


def _costs(task: BaseTask, cost: Planned | None) -> dict[str, float]:
    """What the network costs, by the names under which benchmarks record the same."""
    if not isinstance(task.network, Segmenter):
        return {}
    known: dict[str, float] = {"parameters": count_used_parameters(task.network)}
    if cost is not None:
        known["gmacs_at_most" if cost.at_most else "gmacs"] = cost.cost.gmacs
    return known


def tested(data: LightningDataModule, checkpoint: str) -> str:
    """What the metrics `test/...` of a run are; a validation's score is no test's.

    Args:
        checkpoint: the file that the metrics are of.
    """
    split = getattr(data, "test_split", "test")
    chosen = Path(checkpoint).name == folders.BEST.name
    of = "checkpoint that validation chose" if chosen else "last checkpoint"
    if split == "val":
        return f"validation score of the {of}; data.test_split=val, there is no test split"
    return f"score of split {split}, by the {of}"


def profiles(trainer: Trainer) -> list[Path]:
    """The files that the trainer's profiler has written; none without one, or where it prints."""
    folder, name = (getattr(trainer.profiler, key, None) for key in ("dirpath", "filename"))
    return [] if None in (folder, name) else sorted(Path(folder).glob(f"*{name}*"))
