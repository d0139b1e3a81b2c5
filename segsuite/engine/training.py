"""The parts of a training run, put together from its config."""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, Trainer

from segsuite.core.checkpoint import CONFIG_KEY, SOURCE_KEY, checkpoint_config, read_checkpoint
from segsuite.core.errors import ConfigError
from segsuite.core.sizes import check_size
from segsuite.core.transfer import begin_with, same_family
from segsuite.engine import iterations
from segsuite.engine.callbacks.checkpoints import SAMPLES_KEY, Identity, WholeCheckpointIO
from segsuite.engine.callbacks.finite import FiniteTraining
from segsuite.engine.callbacks.interrupts import Interrupts
from segsuite.engine.callbacks.learning_rate import LearningRate
from segsuite.engine.callbacks.random_states import RandomStates
from segsuite.engine.launch import folders, record, settings
from segsuite.engine.launch.ranks import on_main_process
from segsuite.engine.launch.run import Run
from segsuite.engine.resuming import ResumePoint, fingerprints
from segsuite.engine.task import BaseTask
from segsuite.engine.trainer import built_trainer, quiet
from segsuite.nn.backbones.lite_weights import check_twins
from segsuite.nn.segmenter import Segmenter

log = logging.getLogger(__name__)


def begin(run: Run) -> None:
    """Checks every argument in the run's config."""
    quiet()
    check_arguments(run)


def record_start(run: Run, resumed: ResumePoint | None = None) -> None:
    """Writes the run's record, after data and network were made: mistakes change nothing."""
    if not on_main_process():
        return
    earlier = None if resumed is None else resumed.config
    for change in record.differences(run.folder, run.config, checkpoint=earlier):
        log.warning("the run is resumed with another config: %s", change)
    record.write_start(run.folder, run.config)


def check_arguments(run: Run) -> None:
    """Raises ConfigError for the first argument anywhere in the config that does not fit."""
    settings.check_parts(run.config)
    # Before Lightning's list, which says nothing of these.
    settings.check_precision(run.config.trainer)
    for key in ("data", "inference", "trainer", "callbacks", "logger", "method.network"):
        run.check(key)
    run.check("method.task", given=("network", "classes", "inference"))
    settings.check_run(run.config)


def resume_point(run: Run) -> ResumePoint | None:
    """The checkpoint to go on from, or None for a new run.

    A folder that holds a checkpoint is gone on with: resume=true has chosen it, or a sweep's job
    has been typed again.

    Raises:
        ConfigError: both ckpt_path and resume=true were given, or a record of the run is damaged.
        CheckpointError: the checkpoint is unreadable, not whole or of another method.
    """
    cfg = run.config
    for key in ("ckpt_path", "init_from"):  # as of a variable of the shell that is not set
        if cfg[key] is not None and not str(cfg[key]).strip():
            raise ConfigError(f"{key}= names no file; type {key}=FILE, or leave it out")
    if cfg.resume and cfg.ckpt_path:
        raise ConfigError("resume=true and ckpt_path=... exclude each other; leave one out")
    if on_main_process():
        record.check_whole(run.folder)
    last = run.folder / folders.LAST
    if cfg.ckpt_path:
        last = Path(cfg.ckpt_path)
    elif not last.exists():
        return None
    resumed = ResumePoint(last, run.plain())
    if on_main_process():
        print(f"going on from {last}, iteration {resumed.step}", file=sys.stderr)
    return resumed


def make_data(run: Run, resumed: ResumePoint | None) -> LightningDataModule:
    """The data, found and checked: its errors come before any network is built."""
    data = run.build("data")
    if resumed is not None:
        resumed.check_classes(data.classes)
    data.prepare_data()
    data.setup("fit")
    if run.config.trainer.get("limit_test_batches") != 0:  # what the final evaluation needs, now
        data.setup("test")
    return data


def make_network(run: Run, resumed: ResumePoint | None) -> Segmenter:
    """The network with the weights that a run begins with; a resumed run loads its own later."""
    network = run.build("method.network")
    if resumed is not None:
        resumed.check_network(network)
    elif run.config.init_from is None:
        network.load_initial_weights()
    else:
        _begin_with(network, run)
    return network


def _begin_with(network: Segmenter, run: Run) -> None:
    source = str(run.config.init_from)  # a file may be called 3
    checkpoint, config = read_checkpoint(source), run.plain()
    same_family(checkpoint, config, source)
    _check_twins(network, config["method"]["network"], checkpoint, source)
    transfer = begin_with(network, checkpoint, source=source)
    log.info("after %s iterations: %s", checkpoint.get("global_step"), transfer)


def _check_twins(
    network: Segmenter, config: Mapping[str, Any], checkpoint: Mapping[str, Any], source: str
) -> None:
    """Compares the parts that `init_from` replaces; a frozen policy keeps its own weights."""
    made = checkpoint_config(checkpoint, source)["method"]["network"]
    parts = network.named_children()
    kept = [name for name, part in parts if getattr(part, "keeps_initial_weights", False)]
    check_twins(config, made, source=f"init_from={source}", kept=kept)


def make_task(run: Run, network: Segmenter, data: LightningDataModule) -> BaseTask:
    """The method's task around its network; its loss may still need `settle_class_weights`."""
    check_size(tuple(run.config.data.crop_size), network.size_divisor)
    inference = run.build("inference")
    task = run.build("method.task", network=network, classes=data.classes, inference=inference)
    if task.needs_instances and run.config.data.get("instances") is False:
        raise ConfigError(
            "data.instances=false, but this method tells instances apart; type data.instances=true"
        )
    return task


def check_task(
    run: Run, task: BaseTask, trainer: Trainer, resumed: ResumePoint | None = None
) -> None:
    """Makes an optimiser and throws it away; looks for misspelt metrics: hours are not to be lost.

    Raises:
        ConfigError: what would be found only when training begins, or after it has ended.
        CheckpointError: a run that goes on had another optimiser.
    """
    optimizer, _ = task.optimisation(max_steps=run.config.trainer.max_steps)
    if resumed is not None:
        resumed.check_optimizer(optimizer, run.plain())
    for callback in trainer.callbacks:
        if callable(getattr(callback, "check_task", None)):  # of those that do not fit every task
            callback.check_task(task)
    if run.config.data.get("instances") is True and not _reads_instances(task, trainer.callbacks):
        log.info("data.instances=true: instances are read from files, and nothing looks at them")
    settings.check_strategy(run.config.trainer, trainer.world_size, task.trains_all_weights)
    settings.check_metrics(run.config, task.metric_names, trainer.callbacks)
    iterations.check_validated(trainer, task.resolved(run.config.optimized_metric))


def _reads_instances(task: BaseTask, callbacks: Sequence[Callback]) -> bool:
    """Whether the task does, or a callback that says so (`reads_instances = True`)."""
    readers = (getattr(callback, "reads_instances", False) for callback in callbacks)
    return task.needs_instances or any(readers)


def make_trainer(run: Run, data: LightningDataModule, resumed: ResumePoint | None) -> Trainer:
    """The trainer, with the config's callbacks and loggers and those that no run goes without.

    Raises:
        ConfigError: settings, callbacks or loggers that do not fit, or fewer images than processes.
    """
    samples = fingerprints(data) if on_main_process() else {}
    if resumed is not None:
        resumed.compare_samples(samples)
    content = {
        CONFIG_KEY: run.plain(),
        # With its interpolations unresolved: `method.pruning` overridden at evaluation then reaches
        # the network, which refers to it.
        SOURCE_KEY: run.plain(resolve=False),
        "classes": data.classes.to_dict(),
        SAMPLES_KEY: samples,
    }
    last, asked = run.folder / folders.LAST, run.plain("trainer")
    trainer = built_trainer(
        iterations.without_epochs(asked),
        allow=run.allow,
        callbacks=[
            *(FiniteTraining(last=last), RandomStates(), Identity(content=content), LearningRate()),
            *run.build_all("callbacks"),
            # Last, so that what it saves holds what the others do after an iteration, as averaging.
            Interrupts(last=last),
        ],
        logger=run.build_all("logger"),
        plugins=[WholeCheckpointIO()],
    )
    iterations.count_iterations(trainer, asked, data)
    settings.tell_limits(asked)
    iterations.check_processes(trainer, data, *iterations.evaluated(asked, data))
    return trainer
