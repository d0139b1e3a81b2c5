"""Where the networks come from: each library is asked for when its network is built.

None of their weights is loaded, and nothing is fetched.
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from segsuite.core.errors import ConfigError
from segsuite.core.hints import Count


def torchvision_network(*, name: str, num_classes: Count) -> nn.Module:
    """A segmentation network of torchvision, such as lraspp_mobilenet_v3_large, without its
    upsampling.

    Raises:
        ConfigError: it has no such network.
    """
    from torchvision.models import get_model, list_models, segmentation

    names = list_models(module=segmentation)
    if name not in names:
        raise _unknown("torchvision", name, names)
    made = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    return Coarse(made, classifies_several=name.startswith("lraspp"))


class Coarse(nn.Module):
    """A network of torchvision without its upsampling of the scores to the size of the image.

    The suite's networks keep scores at their own stride, and upsample them where labels are made.

    Args:
        made: torchvision's.
        classifies_several: whether its classifier takes all maps of the backbone, or `out` alone.
    """

    def __init__(self, made: Any, *, classifies_several: bool) -> None:
        super().__init__()
        self.backbone, self.classifier = made.backbone, made.classifier
        self.classifies_several = classifies_several

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, K, h, w)."""
        maps = self.backbone(images)
        return self.classifier(maps if self.classifies_several else maps["out"])


def ultralytics_network(*, name: str, num_classes: Count) -> nn.Module:
    """A semantic segmentation network of Ultralytics, such as yolo26n-sem.

    Its code is under the AGPL-3, which counts for whoever hands on what holds it.

    Raises:
        ConfigError: it is not installed, or has no such network.
    """
    os.environ.setdefault("YOLO_OFFLINE", "true")  # it would look for its newest version
    tasks = _library("ultralytics.nn.tasks", package="ultralytics")
    return _made(
        "ultralytics",
        name,
        lambda: tasks.SemanticSegmentationModel(f"{name}.yaml", nc=num_classes, verbose=False),
    )


def smp_network(*, name: str, encoder: str, num_classes: Count) -> nn.Module:
    """A network of segmentation_models.pytorch, such as DeepLabV3Plus on mobilenet_v2, which
    upsamples its scores to the size of the image by itself.

    Raises:
        ConfigError: it is not installed, or has no such network or encoder.
    """
    library = _library("segmentation_models_pytorch", package="segmentation-models-pytorch")
    return _made(
        "segmentation_models_pytorch",
        f"{name} on {encoder}",
        lambda: library.create_model(
            name, encoder_name=encoder, encoder_weights=None, classes=num_classes
        ),
    )


def _library(module: str, *, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{package} is needed for this network and cannot be imported ({error}); it is none of "
            f"the suite's own extras; type pip install {package}"
        ) from error


def _made(library: str, name: str, build: Callable[[], nn.Module]) -> nn.Module:
    try:
        return build()
    except (AttributeError, ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{library} makes no {name}: {error}") from error


def _unknown(library: str, name: str, names: list[str]) -> ConfigError:
    return ConfigError(f"{library} has no network {name}; it has {', '.join(sorted(names))}")
