"""A network begins with what fits of another network's weights: `init_from=FILE`."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from segsuite.core.checkpoint import checkpoint_config, network_state
from segsuite.core.errors import CheckpointError
from segsuite.core.finite import check_finite, not_finite

_FAMILIES = "segsuite.methods."
_SUBSTANCE = "backbone"


@runtime_checkable
class HasInitialWeights(Protocol):
    """A part of a network that may have weights of its own to begin with, such as ImageNet's."""

    def load_initial_weights(self) -> None:
        """Loads the weights that its config names; nothing where it names none."""


@runtime_checkable
class Adapts(Protocol):
    """A module that can bring weights which were stored for other sizes to its own."""

    def adapted(self, name: str, weight: Tensor, made: Mapping[str, Any]) -> Tensor | None:
        """The weight as it belongs here, the same tensor where nothing is to be done, or None.

        Args:
            name: name of the weight within this module.
            made: the constructor's arguments of the module that the weight comes from.
        """


@dataclass(frozen=True)
class Transfer:
    """What became of each weight, by names; `owns` are parts that loaded their own."""

    source: str
    taken: tuple[str, ...]
    resized: tuple[str, ...]
    fresh: tuple[str, ...]
    owns: tuple[str, ...]
    left_over: tuple[str, ...]

    def __str__(self) -> str:
        lines = (
            ("resized", self.resized),
            ("own initial weights", self.owns),
            ("left fresh", self.fresh),
            ("left over in the file", self.left_over),
        )
        told = [f"{what}: {', '.join(names) or 'nothing'}" for what, names in lines]
        return "\n  ".join([f"took {len(self.taken)} weights from {self.source}", *told])


def begin_with(network: nn.Module, checkpoint: Mapping[str, Any], *, source: str) -> Transfer:
    """Loads the weights of `checkpoint` that fit `network`; what became of each.

    A weight fits where name and shape are the same, or where its module adapts it (positions of
    another crop size). So a dense network hands its weights on to one that shares and prunes, and
    queries of another number of classes stay as they were drawn.

    A part with initial weights of its own (`load_initial_weights`: a backbone, a policy) is taken
    whole or not at all, since half of one network and half of another is neither. Where it is not
    taken, it begins as without `init_from`: a new policy with ImageNet's weights. It is left to
    its own weights, too, where the config names a trained file for it that is to stay as it is
    (`keeps_initial_weights`: a frozen policy). Weights that the file replaces are not fetched.

    Raises:
        CheckpointError: another family of methods, weights that are not finite, or less fits than
            the whole backbone (than half of the weights, in networks without a part of that name).
    """
    config = checkpoint_config(checkpoint, source)["method"]["network"]
    state, own = network_state(checkpoint, source), network.state_dict()
    check_finite(state, source=f"init_from={source}", apart_from=not_finite(own))
    fitting = dict(_fitting(network, state, config))
    _check_substance(own, state, fitting.keys(), source)
    owns, parts = [], dict(_parts(network))
    for path, part in parts.items():
        names = _inside(path, own)
        if names and (getattr(part, "keeps_initial_weights", False) or names - fitting.keys()):
            owns.append(path)
            fitting = {name: fitting[name] for name in fitting.keys() - names}
    network.load_state_dict(fitting, strict=False)
    for path in owns:
        parts[path].load_initial_weights()
    resized = {name for name, weight in fitting.items() if weight is not state[name]}
    beside = {name for path in owns for name in _inside(path, own)}
    return Transfer(
        source=source,
        taken=tuple(sorted(fitting)),
        resized=tuple(f"{n} {_shape(state[n])} -> {_shape(own[n])}" for n in sorted(resized)),
        fresh=tuple(_grouped(own.keys() - fitting.keys() - beside, own)),
        owns=tuple(owns),
        left_over=tuple(_grouped(state.keys() - fitting.keys(), state)),
    )


def same_family(checkpoint: Mapping[str, Any], config: Mapping[str, Any], source: str) -> None:
    """Raises CheckpointError when a checkpoint's network is of another paper than `config`'s."""
    theirs = checkpoint_config(checkpoint, source)["method"]["network"]["_target_"]
    ours = config["method"]["network"]["_target_"]
    if _family(theirs) != _family(ours):
        raise CheckpointError(
            f"init_from={source} is a checkpoint of {theirs}, but this run is of {ours}, a method "
            f"of another family; give a checkpoint of {_family(ours)}"
        )


def _family(target: str) -> str:
    """ "segsuite.methods.segvit" of "segsuite.methods.segvit.network.SegVit"; else the module."""
    if target.startswith(_FAMILIES):
        return _FAMILIES + target.removeprefix(_FAMILIES).split(".")[0]
    return target.rpartition(".")[0]


def _fitting(
    network: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> Iterator[tuple[str, Tensor]]:
    """The weights that have a place in `network`, as they belong there."""
    own = network.state_dict()
    for name in own.keys() & state.keys():
        weight: Tensor | None = state[name]
        path, _, inner = name.rpartition(".")
        module = network.get_submodule(path)
        if isinstance(module, Adapts):
            weight = module.adapted(inner, state[name], _arguments(config, path))
        if weight is not None and weight.shape == own[name].shape:
            yield name, weight


def _arguments(config: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The part of a network's config that made its submodule; modules are named as arguments."""
    for key in path.split("."):
        config = config.get(key) or {}
    return config


def _parts(module: nn.Module, path: str = "") -> Iterator[tuple[str, HasInitialWeights]]:
    """The outermost parts below `module` that have initial weights, by path."""
    for name, child in module.named_children():
        if isinstance(child, HasInitialWeights):
            yield path + name, child
        else:
            yield from _parts(child, f"{path}{name}.")


def _check_substance(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], fitting: Collection[str], source: str
) -> None:
    needed = _inside(_SUBSTANCE, own)
    lacking = sorted(needed - set(fitting))
    if not needed:
        sizes = {name: weight.numel() for name, weight in own.items()}
        enough = 2 * sum(sizes[name] for name in fitting) > sum(sizes.values())
        lacking = [] if enough else sorted(own.keys() - set(fitting))
    if lacking:
        name = lacking[0]
        there = _shape(state[name]) if name in state else "absent"
        raise CheckpointError(
            f"init_from={source} has too little for this network: {name} is "
            f"{_shape(own[name])} here and {there} there; give a checkpoint with the same "
            "method/backbone, or leave init_from out"
        )


def _inside(path: str, names: Collection[str]) -> set[str]:
    """The names of a part's weights."""
    return {name for name in names if name.startswith(f"{path}.")}


def _grouped(chosen: Collection[str], among: Collection[str]) -> list[str]:
    """`chosen`, those that make up all of a module shown as `module.*`."""
    grouped: dict[str, None] = {}
    for name in sorted(chosen):
        steps = name.split(".")
        modules = (".".join(steps[:depth]) for depth in range(1, len(steps)))
        whole = (path for path in modules if _inside(path, among) <= set(chosen))
        grouped[next((f"{path}.*" for path in whole), name)] = None
    return list(grouped)


def _shape(weight: Tensor) -> str:
    return "x".join(map(str, weight.shape)) or "a number"
