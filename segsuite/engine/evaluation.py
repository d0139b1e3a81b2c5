"""The evaluation of a checkpoint, put together from its config."""

import logging
from pathlib import Path
from typing import Any

from lightning import Callback

from segsuite.core.errors import ConfigError, DataError
from segsuite.core.seeding import seed_everything
from segsuite.engine.callbacks.cityscapes import SubmissionFiles
from segsuite.engine.callbacks.progress import EvaluationProgress
from segsuite.engine.callbacks.table import ClassTableReport
from segsuite.engine.iterations import check_processes
from segsuite.engine.launch.rebuild import network_of, numbers_of
from segsuite.engine.launch.run import Run
from segsuite.engine.launch.settings import check_trainer, for_evaluation
from segsuite.engine.trainer import built_trainer, quiet
from segsuite.engine.training import make_task

log = logging.getLogger(__name__)

_STAGES = {"val": "validate", "test": "test"}


def evaluate(run: Run) -> dict[str, Any]:
    """The metrics by name and what they were measured on; prints a table per class.

    Raises:
        CheckpointError: the checkpoint is unreadable, or trained for other classes.
        DataError: no pixel of the split has a class, and no submission was asked for.
    """
    quiet()
    cfg = run.config
    if cfg.split not in _STAGES:
        raise ConfigError(f"split={cfg.split} is not one of val, test")
    settings = for_evaluation(run.plain("trainer"), cfg.split)
    check_trainer(settings)
    seed_everything(cfg.get("seed", 0))
    more = _more(run)
    data = run.build("data")
    if cfg.split == "test" and getattr(data, "test_split", "test") == "val":
        log.warning(
            "split=test is made of the validation images here (data.test_split=val): there is no "
            "test split of its own"
        )
    network, _ = network_of(run, classes=data.classes)
    data.setup(_STAGES[cfg.split])
    task = make_task(run, network, data)
    progress = [EvaluationProgress()] if settings.pop("enable_progress_bar", True) else []
    trainer = built_trainer(
        settings,
        callbacks=[*progress, ClassTableReport(folder=cfg.run.folder), *more],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    check_processes(trainer, data, "val" if cfg.split == "val" else data.test_split)
    getattr(trainer, _STAGES[cfg.split])(task, datamodule=data, verbose=False)
    metrics = numbers_of(trainer.callback_metrics)
    optimized = metrics[f"{cfg.split}/{task.evaluator.headline}"]
    if optimized is None and cfg.get("submission") is None:
        raise DataError(
            f"split={cfg.split} holds no pixel with a class, so that there is nothing to measure; "
            "give data with labels, or type submission=cityscapes for the files that its server "
            "takes"
        )
    return {
        "checkpoint": str(Path(cfg.ckpt_path).resolve()),
        "split": cfg.split,
        "device": str(trainer.strategy.root_device),
        "inference": cfg.inference["_target_"].rsplit(".", 1)[-1],
        "optimized": optimized,
        "metrics": metrics,
    }


def _more(run: Run) -> list[Callback]:
    """What is asked for beside the table of classes."""
    scores, submission = run.build_optional("scores"), run.build_optional("submission")
    more = [] if scores is None else [scores]
    if submission is not None:
        more.append(SubmissionFiles(folder=run.folder / "submission", submission=submission))
    return more
