"""Which parameters share a learning rate and a weight decay."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from segsuite.core.errors import ConfigError, did_you_mean
from segsuite.core.hints import NotNegative, Share, fits, misfit

_FUSED = (SGD, Adam, AdamW)
_SETTINGS = ("weight_decay", "momentum", "power")
_HINTS = {
    "match": Sequence[str] | str,
    "lr_scale": NotNegative,
    "optional": bool,
    "weight_decay": NotNegative | None,
    "momentum": Share | None,
    "power": NotNegative | None,
}


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], groups: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Groups for an optimiser: one per rule, and one for the rest.

    A rule is {match: pattern or patterns, lr_scale: 1.0, optional: false}, and where they differ
    from the optimiser's and the schedule's `weight_decay`, `momentum` (SGD) and `power` (of the
    polynomial decay). A parameter belongs to the first rule of which a pattern (fnmatch, such as
    `*.norm*.weight`) fits its name. Frozen parameters are left out.

    Raises:
        ConfigError: a rule has an unknown key, or fits no parameter and is not `optional`.
    """
    rules = [_checked(rule, index) for index, rule in enumerate(groups)]
    trained = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
    members: list[list[nn.Parameter]] = [[] for _ in range(len(rules) + 1)]
    for name, parameter in trained:
        fits = (i for i, rule in enumerate(rules) if _fits(name, rule["match"]))
        members[next(fits, len(rules))].append(parameter)
    for index, rule in enumerate(rules):
        anybody = any(_fits(name, rule["match"]) for name, _ in trained)
        if not anybody and not rule.get("optional", False):
            raise ConfigError(
                f"method.task.groups[{index}].match={rule['match']} fits no trained parameter; "
                "correct it, or add optional: true"
            )
    settings = zip(members, [*map(_settings, rules), {"lr_scale": 1.0}], strict=True)
    return [{"params": params, **setting} for params, setting in settings if params]


def scale_learning_rates(optimizer: Optimizer) -> Optimizer:
    """The optimiser, each group's learning rate multiplied by its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("lr_scale", 1.0)
    return optimizer


def fused_on_cpu(optimizer: Optimizer) -> Optimizer:
    """The optimiser, whose step goes once through weights on a CPU: in a third of the time.

    Only of torch's own that can, and unless it was typed how to. On a GPU torch chooses well, and
    Lightning refuses to clip gradients in fp16 where an optimiser is fused.
    """
    for group in optimizer.param_groups if type(optimizer) in _FUSED else ():
        chosen = group["foreach"] is not None or group["differentiable"] or group.get("capturable")
        on_cpu = all(p.device.type == "cpu" and p.is_floating_point() for p in group["params"])
        if group["fused"] is None and on_cpu and not chosen:
            group["fused"] = True
    return optimizer


def _checked(rule: Mapping[str, Any], index: int) -> dict[str, Any]:
    where = f"method.task.groups[{index}]"
    for key, value in rule.items():
        if key not in _HINTS:
            raise ConfigError(
                f"`{where}.{key}` is not a key of a parameter group{did_you_mean(str(key), _HINTS)}"
            )
        if not fits(value, _HINTS[key]):
            raise ConfigError(misfit(f"{where}.{key}", value, _HINTS[key]))
    match = rule.get("match")
    patterns = match if isinstance(match, list) else [match]
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ConfigError(f"{where} needs `match`, a pattern of names or a list of them")
    return {**rule, "match": patterns}


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _settings(rule: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: float(rule[key]) for key in _SETTINGS if rule.get(key) is not None}
    return {"lr_scale": float(rule.get("lr_scale", 1.0)), **given}
