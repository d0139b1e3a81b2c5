"""torchvision's weights of ShuffleNet V2, by the names that they have here."""

import re
from collections.abc import Mapping

from torch import Tensor

from segsuite.core.errors import CheckpointError
from segsuite.nn.backbones.weight_files import KEY

_LEFT_OUT = ("conv5.", "fc.")
"""What only the classifier needs."""

_PARTS = {
    "branch1": {0: "side.0.depthwise", 1: "side.0.norm", 2: "side.1.conv", 3: "side.1.norm"},
    "branch2": {
        0: "main.0.conv",
        1: "main.0.norm",
        3: "main.1.depthwise",
        4: "main.1.norm",
        5: "main.2.conv",
        6: "main.2.norm",
    },
}
"""By torchvision's branch and the place in it."""


def from_torchvision(tensors: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """torchvision's weights by our names; those of its classifier are left out.

    Raises:
        CheckpointError: a name that a ShuffleNet V2 of torchvision does not have.
    """
    weights = {}
    for name, tensor in tensors.items():
        if name.startswith(_LEFT_OUT):
            continue
        stem = re.fullmatch(r"conv1\.([01])\.(\w+)", name)
        inner = re.fullmatch(r"stage([234])\.(\d+)\.(branch[12])\.(\d)\.(\w+)", name)
        if stem:
            ours = f"stem.{('conv', 'norm')[int(stem[1])]}.{stem[2]}"
        elif inner and int(inner[4]) in _PARTS[inner[3]]:
            part = _PARTS[inner[3]][int(inner[4])]
            ours = f"stages.{int(inner[1]) - 2}.{inner[2]}.{part}.{inner[5]}"
        else:
            raise CheckpointError(
                f"{source} holds {name}, which is no weight of torchvision's ShuffleNet V2; give "
                f"such a file, or type {KEY}=none"
            )
        weights[ours] = tensor
    return weights
