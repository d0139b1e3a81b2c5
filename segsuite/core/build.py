"""From config to objects: the only caller of hydra's instantiate.

Every argument of every `_target_` is checked against its constructor before anything is built, so
a misspelt key is found before any data or weights are touched, and is named as the user typed it.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any, Literal, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf

from segsuite.core.errors import ConfigError, SegsuiteError, did_you_mean

ALLOWED = ("segsuite.", "torch.", "torchvision.", "timm.", "lightning.", "torchmetrics.")
_SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def build(
    config: DictConfig | Mapping, *, path: str = "", allow: tuple[str, ...] = (), **given: Any
) -> Any:
    """The object that `config` describes by `_target_`, with containers as plain dicts and lists.

    Args:
        path: where the config stands ("method.network"), for messages.
        allow: prefixes of import paths beside the suite's own and its libraries'.
        given: further arguments of the outermost constructor, ready built.

    Raises:
        ConfigError: an unknown, missing or ill-chosen argument, or a target that cannot be imported.
    """
    from hydra.utils import instantiate

    config = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    check(config, path=path, allow=allow, given=tuple(given))
    try:
        # Ready-built objects bypass Hydra, which would turn dataclasses among them into dicts.
        maker = instantiate(config, _convert_="all", _partial_=True)
        return partial(maker, **given) if config.get("_partial_", False) else maker(**given)
    except SegsuiteError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, SegsuiteError):
            raise cause from None
        error.add_note(f"while building `{path or config.get('_target_')}`")
        raise


def check(
    config: Any, *, path: str = "", allow: tuple[str, ...] = (), given: tuple[str, ...] = ()
) -> None:
    """Raises ConfigError for the first `_target_` below `config` whose arguments do not fit."""
    if isinstance(config, ListConfig):
        for index in range(len(config)):
            _check_child(config, index, f"{path}[{index}]", allow)
        return
    if not isinstance(config, DictConfig) or config._is_none() or config._is_missing():
        return
    if "_target_" in config:
        _check_arguments(config, path, allow, given)
    for key in config:
        if key not in _SPECIAL:
            _check_child(config, key, f"{path}.{key}" if path else str(key), allow)


def _check_child(parent: Any, key: Any, path: str, allow: tuple[str, ...]) -> None:
    raw = parent._get_node(key)
    if raw is not None and OmegaConf.is_interpolation(parent, key):
        text = raw._value()  # `${method.backbone}`: name the key that the user can type
        if text.count("${") == 1 and ":" not in text and not text.startswith("${."):
            path = text[2:-1]
    if raw is not None and not OmegaConf.is_missing(parent, key):
        child = parent[key]
        if isinstance(child, DictConfig | ListConfig):
            check(child, path=path, allow=allow)


def _check_arguments(
    config: DictConfig, path: str, allow: tuple[str, ...], given: tuple[str, ...]
) -> None:
    target = locate(config["_target_"], path, allow)
    signature = inspect.signature(target)
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    name = config["_target_"].rsplit(".", 1)[-1]
    where = f"{path}." if path else ""
    named = {n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    keys = [key for key in config if key not in _SPECIAL]
    for key in keys:
        if key not in named and not open_ended:
            raise ConfigError(
                f"`{where}{key}` is not an argument of {name}{did_you_mean(str(key), named - set(given))}"
            )
    for key in keys:
        if OmegaConf.is_missing(config, key):
            raise ConfigError(f"`{where}{key}` has no value yet; type {where}{key}=...")
    if not config.get("_partial_", False):
        for key in named - set(keys) - set(given):
            if parameters[key].default is inspect.Parameter.empty:
                raise ConfigError(
                    f"`{where}{key}` is missing: {name} needs it; type +{where}{key}=..."
                )
    _check_choices(target, config, keys, where)


def _check_choices(target: Any, config: DictConfig, keys: list[str], where: str) -> None:
    """Values of arguments that are annotated `Literal[...]`."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # annotations that only type checkers can resolve
        return
    for key in keys:
        hint = hints.get(key)
        options = get_args(hint) if get_origin(hint) is Literal else ()
        if options and config[key] not in options:
            raise ConfigError(
                f"`{where}{key}={config[key]}` is not one of {', '.join(map(str, options))}"
            )


def locate(target: str, path: str = "", allow: tuple[str, ...] = ()) -> Any:
    """The class or function at an import path, which must start with one of the allowed prefixes."""
    where = f"`{path}._target_={target}`" if path else f"`_target_={target}`"
    if not target.startswith((*ALLOWED, *allow)):
        raise ConfigError(f"{where} is outside {', '.join((*ALLOWED, *allow))}")
    module, _, name = target.rpartition(".")
    try:
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name != module:  # the module is there, but something that it needs is not
                raise
            owner, _, inner = module.rpartition(".")  # a class method, such as Class.from_file
            return getattr(getattr(import_module(owner), inner), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where} cannot be imported: {error}") from error
