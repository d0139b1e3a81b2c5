"""Files of pretrained weights: which one a config names, and what tensors it holds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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
    if path.is_file():
        return path
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise CheckpointError(
            f"{key}={source} is no file; give an existing one, the name of weights, or {key}=none"
        )
    return fetch(source)


def read_tensors(path: Path) -> State:
    """All tensors of a `.npz`, `.safetensors` or torch file, flat, outer dictionaries removed.

    Raises:
        CheckpointError: the file cannot be read, or holds more than tensors and plain types.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); it is cut short, "
            "or holds more than tensors and plain types: save its state dict alone, by torch.save"
        ) from error
    for wrapping in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapping), Mapping):
            content = content[wrapping]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}
