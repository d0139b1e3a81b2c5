"""Which classes and functions a config may name by `_target_`.

A checkpoint brings its config along, and a stranger's must not run a shell, unpickle a file or
write one. So it may name what configs are made of, and nothing else: of the suite, modules and
what takes keyword arguments only, as its constructors do; of the libraries, modules, optimisers,
schedules, metrics and Lightning's classes. Other people's packages are trusted whole by `allow`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.moved import today

LIBRARIES = ("torch.", "torchvision.", "timm.", "lightning.", "torchmetrics.")
_KNOWN = ("segsuite.", *LIBRARIES)
_PARTS = tuple(
    f"segsuite.{package}."
    for package in (
        *("bench", "choosing", "data", "engine", "exporting"),
        *("methods", "metrics", "nn", "searching"),
    )
)
_MODULE = "torch.nn.modules.module.Module"  # a metric is one, too
_OPTIMIZER = "torch.optim.optimizer.Optimizer"
_KINDS = {_MODULE, _OPTIMIZER, "torch.optim.lr_scheduler.LRScheduler"}
"""By name, so that nothing heavy is imported for it."""


def trusted(cfg: DictConfig) -> tuple[str, ...]:
    """The packages that `allow=[...]` names, each as the prefix of an import path.

    Raises:
        ConfigError: it is not a list of names.
    """
    return prefixes(cfg.allow)


def prefixes(names: Any) -> tuple[str, ...]:
    """Packages as prefixes of import paths, each with one dot at its end.

    Raises:
        ConfigError: it is not a list of names.
    """
    if not isinstance(names, list | ListConfig) or not all(isinstance(n, str) and n for n in names):
        raise ConfigError(f"allow={names} is no list of packages; type allow=[mylab.]")
    return tuple(f"{name.rstrip('.')}." for name in names)


def locate(target: Any, path: str = "", allow: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The class or function at an import path.

    Raises:
        ConfigError: it is not there, or no config may name it.
    """
    where = f"`{path}._target_={target}`" if path else f"`_target_={target}`"
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"{where} is no import path, such as torch.optim.AdamW")
    target = today(target)
    if not _begins(target, (*_KNOWN, *allow)):
        known = ", ".join((*_KNOWN, *allow))
        package = target.split(".")[0]
        raise ConfigError(f"{where} is outside {known}; if you trust it, type allow=[{package}.]")
    module, _, name = target.rpartition(".")
    try:
        imported = _imported(module, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where} cannot be imported: {error}") from error
    if not callable(imported):
        raise ConfigError(f"{where} is no class or function, but {imported!r}")
    home = _full_name(imported)
    if not _begins(home, (*_KNOWN, *allow)):  # such as torch.os.system
        raise ConfigError(
            f"{where} is only a name there for {home}, which is not allowed; if you trust it, "
            f"type allow=[{home.split('.')[0]}.]"
        )
    if not _begins(home, allow) and not (_is_ours(imported) or _is_of_a_library(imported)):
        raise ConfigError(
            f"{where} is none of the kinds that configs are made of: modules, optimisers, "
            "schedules, metrics, classes of lightning, and what takes keyword arguments only in "
            f"{', '.join(_PARTS)}; if you trust it, type allow=[{home.rpartition('.')[0]}.]"
        )
    return imported


def check_targets(config: Any, *, path: str, allow: tuple[str, ...], source: str | Path) -> None:
    """Looks at every `_target_` in the config of a checkpoint before anything is made of it.

    Args:
        path: where in the checkpoint's config `config` stands.
        allow: import prefixes that the user trusts.
        source: file of the checkpoint, for messages.

    Raises:
        CheckpointError: one may not be named, or is not there; without the advice to allow it,
            since the file may be a stranger's.
    """
    for where, target in _targets(config, path):
        try:
            locate(target, where, allow)
        except ConfigError as error:
            why = str(error).split("; if you trust it", 1)[0]
            raise CheckpointError(
                f"the config inside the checkpoint {source} names what no checkpoint may: {why}. "
                "Use that file only if you know who made it and why it names this; a network of "
                "your own package is trusted as it was in its training"
            ) from error


def _targets(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each `_target_` below a part of a config, and where it stands."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node["_target_"]
        for key, child in node.items():
            yield from _targets(child, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _targets(child, f"{path}[{index}]")


def _is_ours(constructor: Callable[..., Any]) -> bool:
    """Whether it is a constructor of the suite: a module, of keywords only, or of a schedule."""
    if not _begins(_full_name(constructor), _PARTS):
        return False
    parameters = list(inspect.signature(constructor).parameters.values())
    if parameters and _full_name(parameters[0].annotation) == _OPTIMIZER:
        parameters = parameters[1:]
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return _MODULE in _kinds(constructor) or all(p.kind in by_name for p in parameters)


def _is_of_a_library(constructor: Callable[..., Any]) -> bool:
    """Whether it is a class of a library that a config needs."""
    home = _full_name(constructor)
    if not inspect.isclass(constructor) or not _begins(home, LIBRARIES):
        return False
    lightning = home.startswith("lightning.") and not home.startswith("lightning.pytorch.cli.")
    return lightning or not _KINDS.isdisjoint(_kinds(constructor))


def _kinds(value: Any) -> set[str]:
    return {_full_name(kind) for kind in inspect.getmro(value)} if inspect.isclass(value) else set()


def _begins(name: str, prefixes: tuple[str, ...]) -> bool:
    return f"{name}.".startswith(prefixes)


def _full_name(value: Any) -> str:
    module = getattr(value, "__module__", None) or type(value).__module__
    return f"{module}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _imported(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module:  # the module is there, but something that it needs is not
            raise
        owner, _, inner = module.rpartition(".")  # a class method, such as Class.from_file
        return getattr(getattr(import_module(owner), inner), name)
