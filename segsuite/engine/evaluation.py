"""The evaluation of a checkpoint, put together from its config."""

import logging
from pathlib import Path
from typing import Any

from lightning import Callback
from omegaconf import DictConfig

from segsuite.core.build import build
from segsuite.core.errors import ConfigError, DataError, did_you_mean
from segsuite.core.seeding import seed_everything
from segsuite.core.targets import trusted
from segsuite.engine.callbacks.cityscapes import SubmissionFiles
from segsuite.engine.callbacks.progress import EvaluationProgress
from segsuite.engine.callbacks.table import ClassTableReport
from segsuite.engine.iterations import check_processes
from segsuite.engine.launch import record
from segsuite.engine.launch.rebuild import figures_of, network_of
from segsuite.engine.launch.settings import check_trainer, for_evaluation
from segsuite.engine.trainer import built_trainer, quiet
from segsuite.engine.training import make_task

log = logging.getLogger(__name__)

_STAGES = {"val": "validate", "test": "test"}


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """The metrics by name and what they were measured on; prints a table per class.

    Raises:
        CheckpointError: the checkpoint is unreadable, or trained for other classes.
        DataError: no pixel of the split has a class, and no submission was asked for.
    """
    quiet()
    if cfg.split not in _STAGES:
        raise ConfigError(f"split={cfg.split} is not one of val, test{did_you_mean(cfg.split, ())}")
    settings = for_evaluation(record.plain(cfg)["trainer"], cfg.split)
    check_trainer(settings)
    seed_everything(cfg.get("seed", 0))
    more = _more(cfg)
    data = build(cfg.data, path="data", allow=trusted(cfg))
    if cfg.split == "test" and getattr(data, "test_split", "test") == "val":
        log.warning(
            "split=test is made of the validation images here (data.test_split=val): there is no "
            "test split of its own"
        )
    network, _ = network_of(cfg, classes=data.classes)
    data.setup(_STAGES[cfg.split])
    task = make_task(cfg, network, data)
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
    figures = figures_of(trainer.callback_metrics)
    optimized = figures[f"{cfg.split}/{task.evaluator.headline}"]
    if optimized is None and cfg.get("submission") is None:
        raise DataError(
            f"split={cfg.split} holds no pixel with a class, so that there is nothing to measure; "
            "give data with labels, or type submission=cityscapes for the files that its server "
            "takes"
        )
    return {
        "checkpoint": str(Path(cfg.ckpt_path).resolve()),
        "split": cfg.split,
        "inference": cfg.inference["_target_"].rsplit(".", 1)[-1],
        "optimized": optimized,
        "metrics": figures,
    }


def _more(cfg: DictConfig) -> list[Callback]:
    """What is asked for beside the table of classes."""
    allow = trusted(cfg)
    more = []
    if cfg.get("scores") is not None:
        more.append(build(cfg.scores, path="scores", allow=allow))
    if cfg.get("submission") is not None:
        submission = build(cfg.submission, path="submission", allow=allow)
        folder = Path(cfg.run.folder) / "submission"
        more.append(SubmissionFiles(folder=folder, submission=submission))
    return more
