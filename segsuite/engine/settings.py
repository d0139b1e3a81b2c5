"""Settings of a run that no constructor of ours takes, checked before anything is made.

Lightning takes many a number that it then divides by, or waits for without end.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.hints import Between, fits, misfit

_Limit = Annotated[int, Between(0)] | Annotated[float, Between(0, 1)] | None
_Some = Annotated[int, Between(1)]
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
    "max_steps": _Some,
    "max_epochs": Literal[-1] | _Some | None,
    "accumulate_grad_batches": _Some,
    "gradient_clip_val": Annotated[float, Between(0)] | None,
    "val_check_interval": _Some | None,
    "check_val_every_n_epoch": _Some | None,
    "limit_train_batches": _Some | _All | None,
    "limit_val_batches": _Limit,
    "limit_test_batches": _Limit,
    "overfit_batches": Annotated[int, Between(0)] | _All | Annotated[float, Between(0, 0)],
    "num_sanity_val_steps": Annotated[int, Between(-1)],
    "log_every_n_steps": Annotated[int, Between(0)],
    "num_nodes": _Some,
}
_BY_EPOCHS = _TRAINER | {"val_check_interval": _Some | _All | None}
"""Where validations are counted by epochs, one epoch is an interval too."""

_STAGES = ("train/", "val/", "test/")


def check_parts(cfg: DictConfig) -> None:
    """Raises ConfigError for a part that a training cannot do without, but was taken away."""
    for group in ("data", "method", "inference", "trainer"):
        if cfg.get(group) is None:
            raise ConfigError(
                f"`{group}` was taken away, and nothing can be trained without it; leave it, or "
                f"choose another with {group}=NAME"
            )


def check_run(cfg: DictConfig) -> None:
    """Raises ConfigError for the first setting of a training that cannot be meant."""
    check_values(cfg, _RUN)
    check_trainer(cfg.trainer)
    if not cfg.allow:  # other people's callbacks may log figures of any name
        _check_figure("optimized_metric", cfg.optimized_metric, _STAGES)
    checkpoint = cfg.callbacks.get("checkpoint") if cfg.callbacks else None
    if checkpoint is None:
        raise ConfigError(
            "callbacks.checkpoint is missing: without checkpoints nothing would be left to go on "
            "from or to test in the end; leave callbacks.checkpoint as it is"
        )
    if cfg.trainer.get("limit_val_batches") != 0 and not cfg.allow:
        _check_figure("callbacks.checkpoint.monitor", checkpoint.get("monitor"), _STAGES[:2])
    if cfg.trainer.get("limit_test_batches") == 0 and str(cfg.optimized_metric).startswith("test/"):
        raise ConfigError(
            f"trainer.limit_test_batches=0 leaves nothing to measure optimized_metric="
            f"{cfg.optimized_metric} on; give some, or optimized_metric=val/miou"
        )


def check_figures(cfg: DictConfig, figures: Sequence[str]) -> None:
    """Raises ConfigError for a figure of an evaluation that is asked for and will not be there.

    Callbacks of other people's may log figures of their own, which nobody knows beforehand.

    Args:
        figures: names of those that each evaluation logs, without its stage.
    """
    asked = {
        "optimized_metric": cfg.optimized_metric,
        "callbacks.checkpoint.monitor": cfg.callbacks.checkpoint.get("monitor"),
    }
    for key, name in asked.items():
        stage, _, figure = str(name).partition("/")
        if stage not in ("val", "test") or figure in figures or cfg.allow:
            continue
        hint = did_you_mean(figure, figures)
        if "did you mean" in hint:
            raise ConfigError(f"{key}={name} is not logged{hint.replace('`', f'`{stage}/', 1)}")


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first number that the trainer has no use for."""
    by_epochs = settings.get("check_val_every_n_epoch", 1) is not None
    # Text may be a duration, and is the trainer's to read.
    numbers = {k: v for k, v in settings.items() if not isinstance(v, str)}
    check_values(numbers, _BY_EPOCHS if by_epochs else _TRAINER, "trainer.")
    interval = numbers.get("val_check_interval")
    for key in ("overfit_batches", "limit_train_batches"):
        batches = numbers.get(key)
        if by_epochs and type(batches) is type(interval) is int and 0 < batches < interval:
            raise ConfigError(
                f"trainer.val_check_interval={interval}, but an epoch has trainer.{key}={batches} "
                "batches; validate every n epochs with trainer.check_val_every_n_epoch=n"
            )
    if numbers.get("num_nodes", 1) != 1:
        raise ConfigError(
            f"trainer.num_nodes={numbers['num_nodes']}: the suite starts processes of one machine "
            "only; leave trainer.num_nodes=1, and type trainer=ddp for all GPUs of this one"
        )


def check_values(values: Mapping[str, Any], hints: Mapping[str, Any], where: str = "") -> None:
    """Raises ConfigError, naming the key, for the first value that does not fit its hint."""
    for key, hint in hints.items():
        if key not in values:
            continue
        value = values[key]
        plain = (
            OmegaConf.to_container(value) if isinstance(value, ListConfig | DictConfig) else value
        )
        if not fits(plain, hint):
            raise ConfigError(misfit(f"{where}{key}", plain, hint))


def _check_figure(key: str, name: str | None, stages: tuple[str, ...]) -> None:
    """What is logged is known only later; that a figure belongs to a stage is known now."""
    if name is not None and not str(name).startswith(stages):
        raise ConfigError(
            f"{key}={name} is no figure of a run: their names begin with {' or '.join(stages)}, "
            f"such as {stages[-1]}miou"
        )
