"""The parts of a training run, put together from its config."""

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, open_dict

from segsuite.core.build import build, check
from segsuite.core.checkpoint import load_weights, network_state, read_checkpoint
from segsuite.core.contract import Segmenter
from segsuite.core.errors import ConfigError, did_you_mean, raised_in
from segsuite.core.sizes import check_size
from segsuite.core.targets import trusted
from segsuite.core.transfer import begin_with, same_family
from segsuite.engine import folders, record
from segsuite.engine.callbacks.checkpoints import Checkpoints, Identity, WholeCheckpointIO
from segsuite.engine.callbacks.finite import FiniteTraining
from segsuite.engine.callbacks.interrupts import Interrupts
from segsuite.engine.callbacks.learning_rate import LearningRate
from segsuite.engine.callbacks.random_states import RandomStates
from segsuite.engine.exhausted import LostProcesses
from segsuite.engine.iterations import (
    check_processes,
    count_iterations,
    evaluated,
    without_epochs,
)
from segsuite.engine.launch import on_main_process
from segsuite.engine.rebuild import figures_of
from segsuite.engine.resuming import ResumePoint, fingerprints, restoring
from segsuite.engine.settings import (
    check_figures,
    check_parts,
    check_run,
    check_trainer,
    tell_limits,
)
from segsuite.engine.task import SegmentationTask

log = logging.getLogger(__name__)


def begin(cfg: DictConfig) -> Path:
    """The run's folder, after every argument in the config was checked."""
    folder = Path(cfg.run.folder)
    quiet()
    with open_dict(cfg):
        cfg.run.id = record.run_id(folder)
    check_arguments(cfg)
    return folder


def record_start(cfg: DictConfig, folder: Path) -> None:
    """Writes the run's record, after data and network were made: mistakes change nothing."""
    if not on_main_process():
        return
    for change in record.differences(folder, cfg):
        log.warning("the run is resumed with another config: %s", change)
    record.write_start(folder, cfg)


def check_arguments(cfg: DictConfig) -> None:
    """Raises ConfigError for the first argument anywhere in the config that does not fit."""
    allow = trusted(cfg)
    check_parts(cfg)
    for key in ("data", "inference", "trainer", "callbacks", "logger"):
        check(cfg[key], path=key, allow=allow)
    check(cfg.method.network, path="method.network", allow=allow)
    given = ("network", "classes", "inference")
    check(cfg.method.task, path="method.task", allow=allow, given=given)
    check_run(cfg)


def resume_point(cfg: DictConfig, folder: Path) -> ResumePoint | None:
    """The checkpoint to go on from, or None for a new run.

    A folder that holds a checkpoint is gone on with: resume=true has chosen it, or a sweep's job
    has been typed again.

    Raises:
        ConfigError: both ckpt_path and resume=true were given, or a record of the run is damaged.
        CheckpointError: the checkpoint is unreadable, not whole or of another method.
    """
    for key in ("ckpt_path", "init_from"):  # as of a variable of the shell that is not set
        if cfg[key] is not None and not str(cfg[key]).strip():
            raise ConfigError(f"{key}= names no file; type {key}=FILE, or leave it out")
    if cfg.resume and cfg.ckpt_path:
        raise ConfigError("resume=true and ckpt_path=... exclude each other; leave one out")
    if on_main_process():
        record.check_whole(folder)
    last = folder / folders.LAST
    if cfg.ckpt_path:
        last = Path(cfg.ckpt_path)
    elif not last.exists():
        return None
    resumed = ResumePoint.read(last, record.plain(cfg))
    if on_main_process():
        print(f"going on from {last}, iteration {resumed.step}", file=sys.stderr)
    return resumed


def make_data(cfg: DictConfig, resumed: ResumePoint | None) -> LightningDataModule:
    """The data, found and checked: its errors come before any network is built."""
    data = build(cfg.data, path="data", allow=trusted(cfg))
    if resumed is not None:
        resumed.check_classes(data.classes)
    data.prepare_data()
    data.setup("fit")
    if cfg.trainer.get("limit_test_batches") != 0:  # what the final evaluation needs, now
        data.setup("test")
    return data


def make_network(cfg: DictConfig, resumed: ResumePoint | None) -> Segmenter:
    """The network with the weights that a run begins with; a resumed run loads its own later."""
    network = build(cfg.method.network, path="method.network", allow=trusted(cfg))
    if resumed is None:
        _give_weights(network, cfg)
    else:
        resumed.check_network(network)
    return network


def _give_weights(network: Segmenter, cfg: DictConfig) -> None:
    if cfg.init_from is None:
        network.load_initial_weights()
        return
    checkpoint = read_checkpoint(str(cfg.init_from))  # a file may be called 3
    same_family(checkpoint, record.plain(cfg), str(cfg.init_from))
    transfer = begin_with(network, checkpoint, source=str(cfg.init_from))
    log.info("after %s iterations: %s", checkpoint.get("global_step"), transfer)


def make_task(cfg: DictConfig, network: Segmenter, data: LightningDataModule) -> SegmentationTask:
    """The method's task around its network; its loss may still need `settle_class_weights`."""
    check_size(tuple(cfg.data.crop_size), network.size_divisor)
    return build(
        cfg.method.task,
        path="method.task",
        allow=trusted(cfg),
        network=network,
        classes=data.classes,
        inference=build(cfg.inference, path="inference", allow=trusted(cfg)),
    )


def check_task(
    cfg: DictConfig, task: SegmentationTask, trainer: Trainer, resumed: ResumePoint | None = None
) -> None:
    """Makes an optimiser and throws it away; looks for misspelt figures: hours are not to be lost.

    Raises:
        ConfigError: what would be found only when training begins, or after it has ended.
        CheckpointError: a run that goes on had another optimiser.
    """
    optimizer, _ = task.optimisation(max_steps=cfg.trainer.max_steps)
    if resumed is not None:
        resumed.check_optimizer(optimizer, record.plain(cfg))
    check_figures(cfg, task.figures, trainer.callbacks)


def make_trainer(
    cfg: DictConfig, data: LightningDataModule, folder: Path, resumed: ResumePoint | None
) -> Trainer:
    """The trainer, with the config's callbacks and loggers and those that no run goes without.

    Raises:
        ConfigError: settings, callbacks or loggers that do not fit, or fewer images than processes.
    """
    samples = fingerprints(data) if on_main_process() else {}
    if resumed is not None:
        resumed.compare_samples(samples)
    identity = Identity(
        config=record.plain(cfg),
        source=record.plain(cfg, resolve=False),
        classes=data.classes.to_dict(),
        samples=samples,
    )
    # Last, so that what it saves holds what the others do after an iteration, such as averaging.
    interrupts = Interrupts(last=folder / folders.LAST)
    finite = FiniteTraining(last=folder / folders.LAST)
    settings = record.plain(cfg)["trainer"]
    trainer = built_trainer(
        without_epochs(settings),
        allow=trusted(cfg),
        callbacks=[
            *(finite, RandomStates(), identity, LearningRate()),
            *_built(cfg, "callbacks"),
            interrupts,
        ],
        logger=_built(cfg, "logger"),
        plugins=[WholeCheckpointIO()],
    )
    count_iterations(trainer, settings, data)
    tell_limits(settings)
    check_processes(trainer, data, *evaluated(settings, data))
    return trainer


def built_trainer(
    settings: Mapping[str, Any], *, allow: tuple[str, ...] = (), **given: Any
) -> Trainer:
    """Lightning's trainer.

    Args:
        allow: import prefixes of other people's packages.

    Raises:
        ConfigError: settings that do not go together, or hardware that is not there.
    """
    check_trainer(settings)
    devices = settings.get("devices", "auto")
    try:
        trainer = build(settings, path="trainer", allow=allow, **given)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, ConfigError) else error
        if not raised_in(cause, "lightning."):  # already told, or a defect of ours
            raise
        said = " ".join(str(cause).split()).rstrip(".!")
        usual = settings.get("accelerator", "auto") in ("auto", "cpu") and devices == 1
        hint = "" if usual else ". trainer=default takes the hardware that there is"
        raise ConfigError(f"the trainer says: {said}{hint}") from cause
    cores = _cores()
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > max(cores, 2):
        raise ConfigError(
            f"trainer.devices={devices} are as many processes, but there are {cores} cores for "
            f"them; type trainer.devices={cores}, or trainer=cpu for one process"
        )
    return trainer


def _cores() -> int:
    """The cores that this process may use, which a scheduler or container may have made fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _built(cfg: DictConfig, group: str) -> list[Callback] | list[Logger]:
    """One object per entry of a group; `key: null` switches one off."""
    return [
        build(node, path=f"{group}.{key}", allow=trusted(cfg))
        for key, node in (cfg[group] or {}).items()
        if node is not None
    ]


def figure(figures: Mapping[str, Any], name: str | None) -> float | None:
    """The figure that a run returns to a sweeper.

    Raises:
        ConfigError: it is not among those logged.
    """
    if name is None:
        return None
    if name not in figures:
        raise ConfigError(
            f"optimized_metric={name} is not logged{did_you_mean(name, figures)}; with the right "
            "one and resume=true only the last test is made again"
        )
    return float(figures[name])


def fit(
    trainer: Trainer,
    task: SegmentationTask,
    data: LightningDataModule,
    resumed: ResumePoint | None,
) -> None:
    """Trains to the end, from a checkpoint if one is given.

    A run that was stopped in its last validation has nothing left to train; Lightning would end it
    without that validation, and its best checkpoint would be an earlier one.

    Raises:
        CheckpointError: a part of the checkpoint that only the trainer knows is damaged.
        DivergedError: losses, gradients or weights are no longer finite.
    """
    path = None if resumed is None else resumed.path
    with restoring(path):
        trainer.fit(task, datamodule=data, ckpt_path=path, weights_only=True)
    for callback in trainer.callbacks if resumed and resumed.step == trainer.max_steps else ():
        if isinstance(callback, Checkpoints) and callback.last.exists():
            _give(task, callback.last)
            trainer.validate(task, datamodule=data, verbose=False)
            callback.catch_up(trainer)


def final_figures(
    cfg: DictConfig,
    trainer: Trainer,
    task: SegmentationTask,
    data: LightningDataModule,
    folder: Path,
) -> dict[str, float]:
    """All figures of the run: the last ones logged, and the test of its best (or last) weights.

    Raises:
        ConfigError: the settings allowed no iteration.
    """
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    best, last = folder / folders.BEST, folder / folders.LAST
    chosen = best if cfg.final == "best" else last
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
    figures |= {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {**figures, "checkpoint": str(chosen)}


def _keep_last(trainer: Trainer) -> None:
    """Lets a run leave a best checkpoint in which no validation chose one."""
    if trainer.is_global_zero:
        for callback in trainer.callbacks:
            if isinstance(callback, Checkpoints):
                callback.keep_last_as_best()
        log.info(
            "no validation chose a best checkpoint before the end, so that %s is the last one, %s "
            "(trainer.val_check_interval=N validates every N iterations)",
            *(folders.BEST, folders.LAST),
        )
    trainer.strategy.barrier("best.ckpt")


def _give(task: SegmentationTask, checkpoint: Path) -> None:
    # Not by the trainer's ckpt_path: with EMA that brings back the weights that are not averaged.
    load_weights(
        task.network, network_state(read_checkpoint(checkpoint), checkpoint), source=str(checkpoint)
    )


def finish(
    cfg: DictConfig, figures: dict[str, Any], trainer: Trainer, folder: Path
) -> float | None:
    """Writes result.json, after which the run counts as finished; the figure for a sweeper."""
    checkpoint = figures.pop("checkpoint")
    optimized = figure(figures, cfg.optimized_metric)
    if trainer.is_global_zero:
        record.write_result(
            folder,
            name=cfg.name,
            optimized=optimized,
            optimized_metric=cfg.optimized_metric,
            metrics=figures_of(figures),
            steps=trainer.global_step,
            checkpoint=checkpoint,
            test=tested(trainer.datamodule, checkpoint),
        )
        what = str(cfg.optimized_metric)
        if what.startswith("test/"):
            what += f" ({tested(trainer.datamodule, checkpoint)})"
        log.info("%s = %s; results in %s", what, optimized, folder)
    return optimized


def tested(data: LightningDataModule, checkpoint: str) -> str:
    """What the figures `test/...` of a run are; a validation's score is no test's.

    Args:
        checkpoint: the file that they are of.
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


def quiet() -> None:
    """Keeps Lightning to what matters: tips, and a warning about its own code, do not."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    LostProcesses.listen()
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
