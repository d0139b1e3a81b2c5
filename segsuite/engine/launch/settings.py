"""Settings of a run that no constructor of ours takes, checked before anything is made.

Lightning takes many a number that it then divides by, or waits for without end.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf

from segsuite.core.config import CONF
from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.hints import Above, Between, Count, Share, fits, misfit
from segsuite.engine.launch.ranks import launched
from segsuite.engine.launch.typed import TEXT

log = logging.getLogger(__name__)

_Limit = Annotated[int, Between(0)] | Share | None
_All = Annotated[float, Between(1, 1)]
"""Training data are endless: there are no parts of them but the whole."""

_RUN = {
    "final": Literal["best", "last"],
    "resume": bool,
    "name": str | None,
    "ckpt_path": str | None,
    "init_from": str | None,
    "optimized_metric": str | None,
}
_TRAINER = {
    "max_steps": Count,
    "max_epochs": Literal[-1] | Count | None,
    "accumulate_grad_batches": Count,
    "gradient_clip_val": Annotated[float, Between(0, math.inf)] | None,  # infinity: only measured
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "val_check_interval": Count | Annotated[float, Above(0, 1)] | None,
    "check_val_every_n_epoch": Count | None,
    "limit_train_batches": Count | _All | None,
    "limit_val_batches": _Limit,
    "limit_test_batches": _Limit,
    "overfit_batches": Annotated[int, Between(0)] | _All | Annotated[float, Between(0, 0)],
    "num_sanity_val_steps": Annotated[int, Between(-1)],
    "log_every_n_steps": Annotated[int, Between(0)],
    "num_nodes": Count,
    "min_steps": Count | None,
    "max_time": Literal["DD:HH:MM:SS"] | Mapping[str, int] | None,
    "benchmark": Literal[True, False] | None,
    "profiler": Literal["simple", "advanced", "pytorch"] | Mapping[str, Any] | None,
}
_PRECISIONS = {
    **dict.fromkeys(("fp16", "float16", "amp"), "16-mixed"),
    "half": "16-true",
    "bfloat16": "bf16-mixed",
    **dict.fromkeys(("fp32", "float32"), "32-true"),
    **dict.fromkeys(("fp64", "float64", "double"), "64-true"),
}
"""What other tools call a precision, as Lightning calls it."""

_EVALUATING = {
    *("_target_", "accelerator", "strategy", "devices", "num_nodes", "precision", "plugins"),
    *("deterministic", "benchmark", "inference_mode", "profiler", "default_root_dir"),
    *("enable_progress_bar", "limit_val_batches", "limit_test_batches"),
}
"""What an evaluation heeds of a trainer; the rest is about training."""

_UNUSED = "find_unused_parameters_true"
"""How Lightning's strategies are called that expect weights without a gradient."""

_STAGES = ("train/", "val/", "test/")
HEADLINE = "headline"
"""The name that stands for the headline of whatever task it is: `monitor: val/headline`."""


def check_parts(cfg: DictConfig) -> None:
    """Raises ConfigError for a part that a training cannot do without, but was taken away."""
    for group in ("data", "method", "inference", "trainer"):
        if cfg.get(group) is None:
            raise ConfigError(
                f"`{group}` was taken away, and nothing can be trained without it; leave it, or "
                f"choose another with {group}=NAME"
            )


def check_groups(cfg: DictConfig, name: str) -> None:
    """Raises ConfigError for a key of an entry point's own that became of another kind.

    A group of keys stays one, a single value never becomes one, and text never becomes a list.

    Args:
        name: name of the entry point, as its file in conf.
    """
    for path in (CONF / f"{name}.yaml", CONF / "paths" / "default.yaml"):
        for key, default in OmegaConf.load(path).items_ex(resolve=False):
            there = cfg.get(key) if key != "hydra" else default
            if isinstance(default, DictConfig) and not isinstance(there, DictConfig):
                keys = ", ".join(f"{key}.{inner}" for inner in default)
                raise ConfigError(f"`{key}={there}` does not fit: it is a group of keys ({keys})")
            if not isinstance(default, DictConfig) and isinstance(there, DictConfig):
                raise ConfigError(
                    f"`{key}={there}` does not fit: it is one value, not a group of keys"
                )
            if TEXT.get(key) is str and isinstance(there, ListConfig):
                raise ConfigError(f"`{key}={there}` does not fit: it is one text, not a list")
    data = cfg.get("data")
    # Not resolved: it may be a variable of the shell that only a reader of the data needs.
    root = data._get_node("root") if isinstance(data, DictConfig) else None
    if root is not None and not root._is_interpolation() and root._value() == "":
        raise ConfigError("data.root= names no folder; type data.root=FOLDER, or leave it out")


def check_run(cfg: DictConfig) -> None:
    """Raises ConfigError for the first setting of a training that cannot be meant."""
    check_values(cfg, _RUN)
    check_trainer(cfg.trainer)
    if not cfg.allow:  # other people's callbacks may log metrics of any name
        _check_metric("optimized_metric", cfg.optimized_metric, _STAGES)
    if cfg.callbacks and "pictures" in cfg.callbacks:  # in a file of one's own
        raise ConfigError(
            "callbacks.pictures is called callbacks.images; write `images` in its place"
        )
    checkpoint = cfg.callbacks.get("checkpoint") if cfg.callbacks else None
    if checkpoint is None:
        raise ConfigError(
            "callbacks.checkpoint is missing: without checkpoints nothing would be left to go on "
            "from or to test in the end; leave callbacks.checkpoint as it is"
        )
    if cfg.trainer.get("limit_val_batches") != 0 and not cfg.allow:
        _check_metric("callbacks.checkpoint.monitor", checkpoint.get("monitor"), _STAGES[:2])
    if cfg.trainer.get("limit_test_batches") == 0 and str(cfg.optimized_metric).startswith("test/"):
        raise ConfigError(
            f"trainer.limit_test_batches=0 leaves nothing to measure optimized_metric="
            f"{cfg.optimized_metric} on; give some, or optimized_metric=val/headline"
        )


def check_metrics(cfg: DictConfig, names: Sequence[str], callbacks: Sequence[Any] = ()) -> None:
    """Raises ConfigError for a metric of an evaluation that is asked for and will not be there.

    Callbacks of other people's may log metrics of their own, which nobody knows beforehand.

    Args:
        names: names of the metrics that each evaluation logs, without its stage.
        callbacks: callbacks of the run; some log metrics too, whose names without the stage they
            have as `logged_metrics`.
    """
    names = [*names, *(name for c in callbacks for name in getattr(c, "logged_metrics", ()))]
    asked = {
        "optimized_metric": cfg.optimized_metric,
        "callbacks.checkpoint.monitor": cfg.callbacks.checkpoint.get("monitor"),
    }
    for key, name in asked.items():
        stage, _, metric = str(name).partition("/")
        if stage not in ("val", "test") or metric in (*names, HEADLINE) or cfg.allow:
            continue
        hint = did_you_mean(metric, names).replace("`", f"`{stage}/", 1)
        raise ConfigError(f"{key}={name} is not logged{hint.replace('known: ', f'of {stage}/: ')}")


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first number that the trainer has no use for."""
    by_epochs = settings.get("check_val_every_n_epoch", 1) is not None
    check_precision(settings)
    # Text may be a duration, and is the trainer's to read.
    numbers = {k: v for k, v in settings.items() if not isinstance(v, str)}
    check_values(numbers, _TRAINER, "trainer.")
    interval = numbers.get("val_check_interval")
    for key in ("overfit_batches", "limit_train_batches"):
        batches = numbers.get(key)
        if by_epochs and type(batches) is type(interval) is int and 0 < batches < interval:
            raise ConfigError(
                f"trainer.val_check_interval={interval}, but an epoch has trainer.{key}={batches} "
                "batches; validate every n epochs with trainer.check_val_every_n_epoch=n"
            )
    if settings.get("fast_dev_run"):
        raise ConfigError(
            "trainer.fast_dev_run writes no checkpoint to test in the end; type debug=smoke"
        )
    if numbers.get("num_nodes", 1) != 1 and launched()[1] == 1:
        raise ConfigError(
            f"trainer.num_nodes={numbers['num_nodes']}: by itself, the suite starts processes of "
            "one machine only; leave trainer.num_nodes=1 and type trainer=ddp for all GPUs of this "
            "one, or start the command by torchrun or srun on each machine"
        )


def check_precision(settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for the name that another tool has for a precision."""
    if (precision := _PRECISIONS.get(str(settings.get("precision")).lower())) is not None:
        raise ConfigError(
            f"trainer.precision={settings['precision']} is another tool's name for it; type "
            f"trainer.precision={precision}"
        )


def check_strategy(settings: Mapping[str, Any], processes: int, trains_all_weights: bool) -> None:
    """Raises ConfigError where processes would wait for gradients that nobody makes."""
    strategy = str(settings.get("strategy"))
    if processes > 1 and not trains_all_weights and not strategy.endswith(_UNUSED):
        raise ConfigError(
            f"trainer.strategy={strategy}: an iteration of this method trains a part of the "
            "weights, and processes would wait for gradients of the others; type "
            f"trainer.strategy=ddp_{_UNUSED}"
        )


def tell_limits(settings: Mapping[str, Any]) -> None:
    """Says so where validations are made on less than the final evaluation."""
    limit = settings.get("limit_val_batches")
    if not _whole(limit) and limit != 0 and _whole(settings.get("limit_test_batches")):
        log.warning(
            "trainer.limit_val_batches=%s limits validations alone; the final evaluation takes all "
            "images, unless you type trainer.limit_test_batches=%s too",
            *(limit, limit),
        )


def _whole(limit: int | float | None) -> bool:
    """Whether a limit leaves all images: 1.0 is all of them, and 1 is one batch."""
    return limit is None or (isinstance(limit, float) and limit == 1.0)


def for_evaluation(settings: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The trainer's settings that an evaluation heeds; says which others it was given in vain.

    Raises:
        ConfigError: a limit of the split that is not evaluated.
    """
    other = "test" if split == "val" else "val"
    if not _whole(limit := settings.get(f"limit_{other}_batches")):
        raise ConfigError(
            f"trainer.limit_{other}_batches={limit} would limit split={other}, but split={split} "
            f"is evaluated; type trainer.limit_{split}_batches={limit}, or split={other}"
        )
    usual = OmegaConf.load(CONF / "trainer" / "default.yaml")
    vain = [
        f"trainer.{key}={value}"
        for key, value in settings.items()
        if key not in _EVALUATING and value != usual.get(key)
    ]
    if vain:
        log.warning("nothing is trained here, so that %s has no effect", " ".join(vain))
    return {key: value for key, value in settings.items() if key in _EVALUATING}


def check_values(values: Mapping[str, Any], hints: Mapping[str, Any], where: str = "") -> None:
    """Raises ConfigError, naming the key, for the first value that does not fit its hint."""
    for key, hint in hints.items():
        if key not in values:
            continue
        value = values[key]
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if not fits(plain, hint):
            raise ConfigError(misfit(f"{where}{key}", plain, hint))


def _check_metric(key: str, name: str | None, stages: tuple[str, ...]) -> None:
    """What is logged is known only later; that a metric belongs to a stage is known now."""
    if name is not None and not str(name).startswith(stages):
        raise ConfigError(
            f"{key}={name} is no metric of a run: their names begin with {' or '.join(stages)}, "
            f"such as {stages[-1]}miou"
        )
