"""Files of pretrained weights: which one a config names, and what tensors it holds."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segsuite.core.archives import no_file, read_plain
from segsuite.core.errors import CheckpointError

State = dict[str, Tensor]

KEY = "method.backbone.weights"

_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".npz")


def weights_file(source: str, *, fetch: Callable[[str], Path], key: str = KEY) -> Path:
    """The file that `source` names; `fetch` finds it where that is the name of weights.

    Raises:
        CheckpointError: a path to no file, or weights that cannot be fetched.
    """
    path = Path(source).expanduser()
    fault = no_file(path)
    if fault is None:
        return path
    # Whatever is there under that name, a folder or a pipe, is not what is called so elsewhere.
    if path.suffix in _SUFFIXES or len(path.parts) > 1 or os.path.lexists(path):
        raise CheckpointError(
            f"{key}={source} is no file; give an existing one, the name of weights, or {key}=none "
            f"({fault.split('; ')[0]})"
        )
    return fetch(source)


def read_tensors(path: Path) -> State:
    """All tensors of a `.npz`, `.safetensors` or torch file, flat, outer dictionaries removed.

    Checksums are compared where the format has them: in `.npz` and in torch's archives.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or holds more than tensors and plain
            types.
    """
    if path.suffix in (".npz", ".safetensors"):
        return _arrays(path)
    content = read_plain(path)
    for wrapping in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def renamed(name: str, patterns: Sequence[tuple[str, str]]) -> str:
    """The name of a weight with each pattern replaced, one after another."""
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def _arrays(path: Path) -> State:
    """The tensors of a format that holds nothing else."""
    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        from safetensors.torch import load_file

        return load_file(path)
    except Exception as error:  # of numpy, zipfile and safetensors
        said = (str(error).splitlines() or [type(error).__name__])[0]
        # numpy's own text advises to unpickle what is in the file.
        said = "objects, which are not made from files" if "pickle" in said else said
        raise CheckpointError(
            f"{path} cannot be read as weights: it is damaged, cut short, or holds more than "
            f"arrays ({said})"
        ) from error
