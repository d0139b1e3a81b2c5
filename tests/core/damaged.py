"""Checkpoints damaged in many ways, the same ones for the same seed.

    python -m tests.core.damaged 200 --seed 1

reads so many through everything that reads checkpoints, and prints what was not named.
"""

import argparse
import copy
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from segsuite.core.build import build
from segsuite.core.checkpoint import network_from_checkpoint, read_checkpoint, save_checkpoint
from segsuite.core.errors import SegsuiteError
from segsuite.core.transfer import begin_with
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint, classes_of, config_from_checkpoint
from segsuite.engine.launch.record import plain
from segsuite.engine.resuming import ResumePoint
from tests.toy import toy_classes

_VALUES = (None, 3, -1.5, "text", [], {}, [1, "a"], True, {"a": 1})
_PARTS = ("config", "config_source", "state_dict", "classes", "global_step", "optimizer_states")


def damaged(whole: Path, beside: Path, *, count: int, seed: int) -> Iterator[str]:
    """Writes one after another to `beside`; what was done to it."""
    chance = random.Random(seed)
    ways = (_flipped, _cut, _zeroed, _without, _of_another_type)
    for number in range(count):
        yield ways[number % len(ways)](whole, beside, chance)


def readers(path: Path, config: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """What the entry points do with a checkpoint, as far as its content decides.

    Args:
        config: of the run that is to go on or to begin with it.
    """
    return {
        "evaluate, predict, export": lambda: config_from_checkpoint([f"ckpt_path={path}"]),
        "benchmark": lambda: network_from_checkpoint(path),
        "scripts": lambda: classes_of(read_checkpoint(path), path),
        "init_from": lambda: _begun(path, config),
        "ckpt_path, resume": lambda: _resumed(path, config),
    }


def faults(path: Path, whole: dict[str, Any], what: str) -> Iterator[str]:
    """What a user would not understand of a damaged file: tracebacks, texts that do not name it."""
    named = 0
    for reader, read in readers(path, whole["config"]).items():
        try:
            read()
        except SegsuiteError as error:
            named += 1
            if str(path) not in str(error) or "\n" in str(error) or "weights_only" in str(error):
                yield f"{reader}: {error}"
        except Exception as error:
            yield f"{reader}: {type(error).__name__}: {error}"
    # Without parts that an entry point has no use for, it may do what it is for.
    if "byte" in what and not named and not same(read_checkpoint(path), whole):
        yield "read by all as if it were whole"


def write_whole(path: Path) -> None:
    """A small checkpoint of a real network, with all that a training goes on from."""
    small = ("backbone.dim=16", "backbone.heads=2", "backbone.depth=3", "backbone.weights=none")
    typed = ["experiment=segvit_vitt", "data=scenes", "data.crop_size=[32,32]"]
    cfg = compose("train", [*typed, *(f"method.{key}" for key in small)])
    classes = toy_classes(cfg.data.num_classes)
    content = as_checkpoint(cfg, _network(plain(cfg)), classes)
    needed = {"loops": {}, "callbacks": {}, "lr_schedulers": [], "pytorch-lightning_version": "2.6"}
    group = {"lr": 0.1, "params": [0, 1]}
    optimizer = {"state": {}, "param_groups": [group]}
    save_checkpoint({**content, **needed, "optimizer_states": [optimizer]}, path)


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints hold the same, as far as anything is made of it."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and all(
            key in other and same(child, other[key]) for key, child in one.items()
        )
    return type(one) is type(other) and one == other


def _network(config: dict[str, Any]) -> torch.nn.Module:
    return build(config["method"]["network"], path="method.network")


def _begun(path: Path, config: dict[str, Any]) -> None:
    begin_with(_network(config), read_checkpoint(path), source=str(path))


def _resumed(path: Path, config: dict[str, Any]) -> None:
    ResumePoint(path, config).check_network(_network(config))


def _flipped(whole: Path, beside: Path, chance: random.Random) -> str:
    content = bytearray(whole.read_bytes())
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    content[place] ^= 1 << bit
    beside.write_bytes(content)
    return f"bit {bit} of byte {place} flipped"


def _cut(whole: Path, beside: Path, chance: random.Random) -> str:
    content = whole.read_bytes()
    length = chance.randrange(len(content))
    beside.write_bytes(content[:length])
    return f"cut to {length} bytes"


def _zeroed(whole: Path, beside: Path, chance: random.Random) -> str:
    content = bytearray(whole.read_bytes())
    start = chance.randrange(len(content))
    end = min(start + chance.choice((16, 512, 4096)), len(content))
    content[start:end] = bytes(end - start)
    beside.write_bytes(content)
    return f"bytes {start} to {end} zeroed"


def _without(whole: Path, beside: Path, chance: random.Random) -> str:
    content, path, key, owner = _somewhere(whole, chance)
    del owner[key]
    torch.save(content, beside)
    return f"{path} missing"


def _of_another_type(whole: Path, beside: Path, chance: random.Random) -> str:
    content, path, key, owner = _somewhere(whole, chance)
    other = [v for v in _VALUES if type(v) is not type(owner[key])]
    owner[key] = chance.choice(other)
    torch.save(content, beside)
    return f"{path} = {owner[key]!r}"


def _somewhere(whole: Path, chance: random.Random) -> tuple[Any, str, Any, Any]:
    """A checkpoint's content and a place in it, at most three steps down."""
    content = copy.deepcopy(torch.load(whole, weights_only=True))
    owner, steps = content, [chance.choice([p for p in _PARTS if p in content])]
    if steps[0].startswith("config"):
        steps += chance.choice((["method"], ["data"], ["method", "network"], []))
    while isinstance(inner := _at(content, steps), dict) and inner and chance.random() < 0.5:
        steps.append(chance.choice(list(inner)))
        if len(steps) > 3:
            break
    owner = _at(content, steps[:-1])
    return content, ".".join(map(str, steps)), steps[-1], owner


def _at(content: Any, steps: list[Any]) -> Any:
    for step in steps:
        content = content[step]
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, path = Path(folder) / "whole.ckpt", Path(folder) / "damaged.ckpt"
        write_whole(whole)
        content, bad = read_checkpoint(whole), 0
        for what in damaged(whole, path, count=given.count, seed=given.seed):
            for fault in faults(path, content, what):
                bad += 1
                print(f"{what}: {fault}")
        print(f"{given.count} damaged checkpoints, {bad} faults")


if __name__ == "__main__":
    main()
