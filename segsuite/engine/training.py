"""The parts of a training run, put together from its config."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, open_dict

from segsuite.core.build import build, check
from segsuite.core.checkpoint import checkpoint_config, read_checkpoint
from segsuite.core.errors import ConfigError
from segsuite.core.sizes import check_size
from segsuite.core.targets import trusted
from segsuite.core.transfer import begin_with, same_family
from segsuite.engine.callbacks.checkpoints import Identity, WholeCheckpointIO
from segsuite.engine.callbacks.finite import FiniteTraining
from segsuite.engine.callbacks.interrupts import Interrupts
from segsuite.engine.callbacks.learning_rate import LearningRate
from segsuite.engine.callbacks.random_states import RandomStates
from segsuite.engine.iterations import (
    check_processes,
    check_validated,
    count_iterations,
    evaluated,
    without_epochs,
)
from segsuite.engine.launch import folders, record
from segsuite.engine.launch.entry_point import on_main_process
from segsuite.engine.launch.settings import (
    check_figures,
    check_parts,
    check_precision,
    check_run,
    tell_limits,
)
from segsuite.engine.resuming import ResumePoint, fingerprints
from segsuite.engine.task import BaseTask
from segsuite.engine.trainer import built_trainer, quiet
from segsuite.nn.backbones.lite_weights import check_twins
from segsuite.nn.segmenter import Segmenter

log = logging.getLogger(__name__)


def begin(cfg: DictConfig) -> Path:
    """The run's folder, after every argument in the config was checked."""
    folder = Path(cfg.run.folder)
    quiet()
    with open_dict(cfg):
        cfg.run.id = record.run_id(folder)
    check_arguments(cfg)
    return folder


def record_start(cfg: DictConfig, folder: Path, resumed: ResumePoint | None = None) -> None:
    """Writes the run's record, after data and network were made: mistakes change nothing."""
    if not on_main_process():
        return
    earlier = None if resumed is None else resumed.config
    for change in record.differences(folder, cfg, checkpoint=earlier):
        log.warning("the run is resumed with another config: %s", change)
    record.write_start(folder, cfg)


def check_arguments(cfg: DictConfig) -> None:
    """Raises ConfigError for the first argument anywhere in the config that does not fit."""
    allow = trusted(cfg)
    check_parts(cfg)
    check_precision(cfg.trainer)  # before Lightning's own list, which says nothing of these names
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
    config = record.plain(cfg)
    same_family(checkpoint, config, str(cfg.init_from))
    _check_twins(network, config["method"]["network"], checkpoint, str(cfg.init_from))
    transfer = begin_with(network, checkpoint, source=str(cfg.init_from))
    log.info("after %s iterations: %s", checkpoint.get("global_step"), transfer)


def _check_twins(
    network: Segmenter, config: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str
) -> None:
    """Compares the parts that `init_from` replaces; a frozen policy keeps its own weights."""
    made = checkpoint_config(checkpoint, source)["method"]["network"]
    kept = [
        n for n, part in network.named_children() if getattr(part, "keeps_initial_weights", False)
    ]
    check_twins(config, made, source=f"init_from={source}", kept=kept)


def make_task(cfg: DictConfig, network: Segmenter, data: LightningDataModule) -> BaseTask:
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


def find_teacher(cfg: DictConfig, task: BaseTask, data: LightningDataModule) -> None:
    """Loads the network that `method.distillation.teacher` names, where it names one.

    Raises:
        ConfigError: the two do not match.
        CheckpointError: the teacher cannot be read, or was trained for other classes.
    """
    task.find_teacher(data.classes, tuple(cfg.data.crop_size), allow=trusted(cfg))


def check_task(
    cfg: DictConfig, task: BaseTask, trainer: Trainer, resumed: ResumePoint | None = None
) -> None:
    """Makes an optimiser and throws it away; looks for misspelt metrics: hours are not to be lost.

    Raises:
        ConfigError: what would be found only when training begins, or after it has ended.
        CheckpointError: a run that goes on had another optimiser.
    """
    optimizer, _ = task.optimisation(max_steps=cfg.trainer.max_steps)
    if resumed is not None:
        resumed.check_optimizer(optimizer, record.plain(cfg))
    check_figures(cfg, task.metric_names, trainer.callbacks)
    check_validated(trainer, task.resolved(cfg.optimized_metric))


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


def _built(cfg: DictConfig, group: str) -> list[Callback] | list[Logger]:
    """One object per entry of a group; `key: null` switches one off."""
    return [
        build(node, path=f"{group}.{key}", allow=trusted(cfg))
        for key, node in (cfg[group] or {}).items()
        if node is not None
    ]
