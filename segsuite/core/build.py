"""From config to objects: the only caller of hydra's instantiate.

Every argument of every `_target_` is checked against its constructor before anything is built, so
a misspelt key is found before any data or weights are touched, and is named as the user typed it.
"""

import inspect
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from segsuite.core.config import options
from segsuite.core.errors import ConfigError, SegsuiteError, did_you_mean, raised_in
from segsuite.core.hints import fits, misfit
from segsuite.core.targets import LIBRARIES, locate

_TOLD_TO_HYDRA = {
    "_partial_": (True, False),
    "_recursive_": (True, False),
    "_convert_": ("none", "partial", "object", "all"),
}
_SPECIAL = {"_target_", *_TOLD_TO_HYDRA}


def build(
    config: DictConfig | Mapping, *, path: str = "", allow: tuple[str, ...] = (), **given: Any
) -> Any:
    """The object that `config` describes by `_target_`, with containers as plain dicts and lists.

    Args:
        path: where the config stands ("method.network"), for messages.
        allow: prefixes of import paths beside the suite's own and its libraries'.
        given: further arguments of the outermost constructor, ready built.

    Raises:
        ConfigError: an unknown, missing or ill-chosen argument, a value that a library refuses,
            or a target that cannot be imported.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if not isinstance(config, Mapping) or "_target_" not in config:
        choice = _as_choice(path, config)
        raise ConfigError(f"`{path}={config}` describes no object: no `_target_` in it{choice}")
    config = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    check(config, path=path, allow=allow, given=tuple(given))
    try:
        # Ready-built objects bypass Hydra, which would turn dataclasses among them into dicts.
        maker = instantiate(config, _convert_="all", _partial_=True)
        return partial(maker, **given) if config.get("_partial_", False) else maker(**given)
    except SegsuiteError:
        raise
    except Exception as error:
        # Hydra wraps what goes wrong in a part; a defect there must not pass for a mistake.
        cause = error.__cause__ if isinstance(error, InstantiationException) else None
        if isinstance(cause, SegsuiteError):
            raise cause from None
        part = re.search(r"call to target '(\S+)'", str(error)) if cause else None
        target = part[1] if part else config["_target_"]
        failure = cause or error
        said = " ".join(str(failure).split())
        theirs = raised_in(failure, *LIBRARIES, ours=allow)
        if theirs and isinstance(failure, ValueError) and target.startswith(LIBRARIES):
            raise ConfigError(f"`{path}` does not fit {target}: {said}") from failure
        if theirs and isinstance(failure, RuntimeError | OverflowError | ZeroDivisionError):
            # Of numbers that each fit, and make no tensor together: too large, or none left.
            raise ConfigError(f"`{path}` cannot be made of these settings: {said}") from failure
        if isinstance(failure, TypeError) and (lacks := _lacking(config, said)):
            raise ConfigError(f"{lacks}; leave it as it is") from failure
        failure.add_note(f"while building `{path or config['_target_']}`")
        if cause is not None:
            raise cause from cause.__cause__
        raise


def _lacking(config: Any, said: str) -> str | None:
    """What a part lacks that waited for the rest of its arguments; None if it is none of these."""
    missing = re.match(r"(\w+)\.__init__\(\) missing .* arguments?: (.+)", said)
    targets = re.findall(
        r"'_target_': '([^']+)'", str(OmegaConf.to_container(config, resolve=True))
    )
    if missing is None or not any(target.endswith(f".{missing[1]}") for target in targets):
        return None
    return f"{missing[1]} lacks {missing[2]}"


def check(
    config: Any, *, path: str = "", allow: tuple[str, ...] = (), given: tuple[str, ...] = ()
) -> None:
    """Raises ConfigError for the first `_target_` below `config` whose arguments do not fit."""
    try:
        _check(config, path, allow, given)
    except InterpolationKeyError as error:
        said = str(error.msg).splitlines()[0]
        raise ConfigError(
            f"`{error.full_key}` refers to a key that this config lacks ({said}): parts of one "
            "method do not all fit another's"
        ) from error


def _check(config: Any, path: str, allow: tuple[str, ...], given: tuple[str, ...] = ()) -> None:
    if isinstance(config, ListConfig):
        for index in range(len(config)):
            _check_child(config, index, f"{path}[{index}]", allow)
        return
    if not isinstance(config, DictConfig) or config._is_none() or config._is_missing():
        return
    if "_args_" in config:  # they would pass by all that is checked here
        raise ConfigError(f"`{path}._args_`: arguments are given by name only")
    _check_special(config, path)
    if "_target_" in config:
        _check_arguments(config, path, allow, given)
    for key in config:
        if key not in _SPECIAL:
            _check_child(config, key, f"{path}.{key}" if path else str(key), allow)


def _check_special(config: DictConfig, path: str) -> None:
    """What Hydra itself is told about an object; it would end with a traceback."""
    for key, taken in _TOLD_TO_HYDRA.items():
        if key in config and config[key] not in taken:
            known = ", ".join(map(str, taken))
            raise ConfigError(
                f"`{path}.{key}={config[key]}` is not one of {known}; leave it as it is"
            )


def _check_child(parent: Any, key: Any, path: str, allow: tuple[str, ...]) -> None:
    if parent._get_node(key) is not None and not OmegaConf.is_missing(parent, key):
        child = parent[key]
        if isinstance(child, DictConfig | ListConfig):
            _check(child, _as_typed(parent, key, path), allow)


def _as_typed(parent: Any, key: Any, path: str) -> str:
    """The key that the user can type: `method.backbone` where `path` refers to it by `${...}`."""
    node = parent._get_node(key)
    while node is not None and node._is_interpolation():
        text = node._value()
        if text.count("${") != 1 or ":" in text or text.startswith("${.") or text[-1] != "}":
            break
        path = text[2:-1]
        above, _, leaf = path.rpartition(".")
        owner = OmegaConf.select(parent._get_root(), above) if above else parent._get_root()
        node = owner._get_node(leaf) if isinstance(owner, DictConfig) else None
    return path


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
            hint = did_you_mean(str(key), named - set(given))
            raise ConfigError(f"`{where}{key}` is not an argument of {name}{hint}")
    for key in keys:
        if key in given:  # the suite's own would win without a word
            raise ConfigError(
                f"`{where}{key}` is what the suite itself gives to {name}; leave it out"
            )
        if OmegaConf.is_missing(config, key):
            typed = _as_typed(config, key, f"{where}{key}")
            raise ConfigError(f"`{typed}` has no value yet; type {typed}=...")
    if not config.get("_partial_", False):
        for key in named - set(keys) - set(given):
            if parameters[key].default is inspect.Parameter.empty:
                raise ConfigError(
                    f"`{where}{key}` is missing: {name} needs it; type +{where}{key}=..."
                )
    _check_values(target, config, keys, where)


def _check_values(target: Any, config: DictConfig, keys: list[Any], where: str) -> None:
    """Values against the annotations of their arguments; an argument's default always fits."""
    hints, defaults = hints_of(target), inspect.signature(target).parameters
    for key in keys:
        hint, value = hints.get(key, Any), _plain(config, key)
        if fits(value, hint) or (key in defaults and _is_default(value, defaults[key].default)):
            continue
        typed = _as_typed(config, key, where + key)
        taker = f"{config['_target_'].rsplit('.', 1)[-1]} needs"
        raise ConfigError(misfit(typed, value, hint, taker=taker) + _as_choice(typed, value))


def _is_default(value: Any, default: Any) -> bool:
    """False is no 0 here, although they are equal."""
    return value == default and isinstance(value, bool) == isinstance(default, bool)


def hints_of(target: Any) -> dict[str, Any]:
    """The annotations of a constructor's arguments; none where only type checkers resolve them."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def _plain(config: DictConfig, key: str) -> Any:
    """The value with its interpolations resolved and containers as dicts and lists."""
    value = config[key]
    if isinstance(value, DictConfig) and "_target_" in value:
        return {"_target_": value["_target_"]}  # what lies below is checked where it stands
    if isinstance(value, DictConfig | ListConfig):
        return OmegaConf.to_container(value, resolve=True)
    return value


def _as_choice(path: str, value: Any) -> str:
    """A hint for `method.sharing=none` where `method/sharing=none` was meant."""
    group = path.replace(".", "/")
    if value in options(group):
        return f"; {group}={value} chooses that part"
    return "; type null to leave it out" if value == "none" else ""
