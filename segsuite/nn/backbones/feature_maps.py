"""Two feature maps of any convolutional network that timm knows: a fine one and a deep one."""

from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segsuite.core.errors import CheckpointError, ConfigError, did_you_mean
from segsuite.core.finite import check_finite
from segsuite.core.hints import Share
from segsuite.nn.backbones.hub import pretrained_file
from segsuite.nn.backbones.lite_weights import PYPI, are_twins, check_twin, packaged_file
from segsuite.nn.backbones.padding import with_symmetric_padding
from segsuite.nn.backbones.weight_files import KEY, read_tensors, weights_file
from segsuite.nn.colours import IMAGENET, Pixels
from segsuite.nn.norms import Norm, with_norm

_FINE = 4

_LAST_LAYERS = 12
"""Tensors that a whole network has behind its last feature map, at most."""


class FeatureMaps(nn.Module):
    """A timm network cut after its last feature map, at the output stride asked for.

    Once that stride is reached, further strides become dilation (DeepLab). `mobilenetv2_100` and
    `resnet50` are torchvision's networks, weight by weight.

    Args:
        name: name of a timm network with feature maps.
        output_stride: stride of the last feature map: 8, 16 or 32.
        norm: kind of the normalisation layers, see `nn.norms`.
        momentum: momentum of the batch norms (the reference code's is 0.01 here, 0.1 in the head).
        frozen_norms: whether batch norms keep the statistics of the initial weights, for small
            batches; their scales and shifts are still learnt.
        weights: weights to begin with: "none", a timm name, "pypi" for those of
            `tf_efficientnet_lite0` to 2 in packages, or a file in timm's, torchvision's or these
            packages' layout.
        padding: "symmetric" lays TensorFlow's padding evenly, see `nn.backbones.padding`; "timm"
            leaves it as timm has it, which checkpoints that name neither were trained with.

    Attributes:
        channels: channels of the map at stride 4 and of the last one.
        pixels: (mean, std) in 0..255 of the pixels that weights of this network are trained on.
    """

    def __init__(
        self,
        *,
        name: str,
        output_stride: Literal[8, 16, 32] = 16,
        norm: Norm = "bn",
        momentum: Share = 0.01,
        frozen_norms: bool = False,
        weights: str = "none",
        padding: Literal["symmetric", "timm"] = "timm",
    ) -> None:
        super().__init__()
        body = _created(name, output_stride)
        if padding == "symmetric":
            body = with_symmetric_padding(body)
        info: Any = body.feature_info  # timm's own
        strides = info.reduction()
        if _FINE not in strides:
            raise ConfigError(
                f"method.backbone.name={name} has feature maps at strides {strides}, none at "
                f"{_FINE}; choose another, such as resnet50 or mobilenetv4_conv_small"
            )
        if strides[-1] != output_stride:
            raise ConfigError(
                f"method.backbone.name={name} ends at stride {strides[-1]} and cannot be brought "
                f"to method.output_stride={output_stride}; set it to {strides[-1]}"
            )
        self.name, self.weights, self.frozen_norms = name, weights, frozen_norms
        self._fine = strides.index(_FINE)
        # Transformers such as swin give (B, H, W, C).
        self._channels_last = str(getattr(body, "output_fmt", "NCHW")).endswith("NHWC")
        channels = info.channels()
        self.channels = (channels[self._fine], channels[-1])
        self.pixels = _pixels(name, weights)
        for module in body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum
        self.body = with_norm(body, norm)
        if frozen_norms and not self._batch_norms():
            raise ConfigError(
                f"method.backbone.frozen_norms=true keeps statistics of batch norms, but {name} "
                f"with method.norm={norm} has none; type method.backbone.frozen_norms=false"
            )
        self.train()  # Lightning does not: it trains modules in the mode that they are in

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps at stride 4 and at the output stride.

        Shapes: images (B, 3, H, W) -> (B, C1, H / 4, W / 4), (B, C2, H / s, W / s)
        """
        maps = self.body(images)
        fine, deep = maps[self._fine], maps[-1]
        if self._channels_last:
            fine, deep = fine.permute(0, 3, 1, 2), deep.permute(0, 3, 1, 2)
        return fine, deep

    def train(self, mode: bool = True) -> Self:
        """Frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for norm in self._batch_norms() if self.frozen_norms else ():
            norm.eval()
        return self

    def _batch_norms(self) -> list[nn.Module]:
        return [module for module in self.body.modules() if isinstance(module, _BatchNorm)]

    def load_initial_weights(self) -> None:
        """Loads the pretrained weights that the config names.

        Raises:
            ConfigError: it names none, but the statistics of batch norms are to be kept.
        """
        if self.weights == "none":
            if self.frozen_norms:
                raise ConfigError(
                    "method.backbone.frozen_norms=true keeps the statistics of pretrained weights, "
                    f"but {KEY}=none; give weights, or type method.backbone.frozen_norms=false"
                )
            return
        source = f"{KEY}={self.weights}"
        if self.weights == PYPI:
            file = packaged_file(self.name, key=KEY, network_key="method.backbone.name")
        else:
            file = weights_file(self.weights, fetch=self._fetched)
        tensors = read_tensors(file)
        check_twin(self.name, tensors, source=source)
        load_body(self.body, tensors, source=source)

    def _fetched(self, weights: str) -> Path:
        """Weights of the hub. Those of a network's twin have its names and shapes, but pad other.

        Raises:
            ConfigError: they are the twin's, such as efficientnet_lite0's for the `tf_` one.
        """
        network = weights.partition(".")[0]
        if are_twins(network, self.name):
            raise ConfigError(
                f"{KEY}={weights} are of {network}, which pads and normalises otherwise than "
                f"method.backbone.name={self.name}; type method.backbone.name={network}"
            )
        return pretrained_file(weights, key=KEY)


def _pixels(name: str, weights: str) -> Pixels:
    """As timm knows them of these weights, or else of the network."""
    import timm

    known = timm.get_pretrained_cfg(weights) if timm.is_model_pretrained(weights) else None
    known = known or timm.get_pretrained_cfg(name)
    if known is None:
        return IMAGENET
    mean, std = (tuple(255 * value for value in part) for part in (known.mean, known.std))
    return mean, std


def _created(name: str, output_stride: int) -> nn.Module:
    import timm

    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise ConfigError(f"method.backbone.name={name} is no network of timm{near}")
    stride: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    try:
        return timm.create_model(name, features_only=True, pretrained=False, **stride)
    except (NotImplementedError, TypeError, RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"method.backbone.name={name} gives no feature maps at method.output_stride="
            f"{output_stride} ({error}); type method.output_stride=32 or another name"
        ) from error


def load_body(
    body: nn.Module, tensors: dict[str, Tensor], *, source: str, cut: bool = False
) -> None:
    """Loads all of a network cut short from the weights of the whole one.

    By name where the names are timm's; otherwise one by one in their order, which is how
    torchvision's file of the same network differs. Running statistics that a network with group
    norms has no use for are left aside.

    Args:
        source: where the weights are from, for messages.
        cut: whether the body may end before the network's last feature map.

    Raises:
        CheckpointError: a weight is missing, has another shape or is not finite, or there are
            weights left of other blocks.
    """
    own = body.state_dict()
    named = {name: tensors[name] for name in own if name in tensors}
    parts = {name.split(".")[0] for name in own}
    beyond = [n for n in tensors if n not in own and n.split(".")[0] in parts and not _counts(n)]
    if len(named) < len(own) // 2:
        keep = [n for n in tensors if not _counts(n) and (not _runs(n) or any(map(_runs, own)))]
        wanted = [n for n in own if not _counts(n)]
        named = dict(zip(wanted, (tensors[n] for n in keep), strict=False))
        beyond = keep[len(wanted) + _LAST_LAYERS :]
    elif not any(map(_runs, own)):  # group norms have no use for running statistics
        beyond = [name for name in beyond if not _runs(name)]
    if beyond and not cut:
        raise CheckpointError(
            f"{source} is of a larger network: {beyond[0]} and {len(beyond) - 1} more weights have "
            "no place in the backbone; give weights of this network, or type "
            "method.backbone.weights=none"
        )
    lacking = [n for n in own if not _counts(n) and n not in named]
    lacking += [n for n, t in named.items() if t.shape != own[n].shape]
    if lacking:
        there = tuple(named[lacking[0]].shape) if lacking[0] in named else "absent"
        raise CheckpointError(
            f"{source} does not fit the backbone: {lacking[0]} is {tuple(own[lacking[0]].shape)} "
            f"here and {there} there ({len(lacking)} such weights); give weights of this network, "
            "or type method.backbone.weights=none"
        )
    check_finite(named, source=source)
    with torch.no_grad():
        for name, tensor in named.items():
            own[name].copy_(tensor)


def _counts(name: str) -> bool:
    """Whether it is the number of batches that a batch norm has seen."""
    return name.endswith("num_batches_tracked")


def _runs(name: str) -> bool:
    """Whether it is a running statistic of a batch norm."""
    return name.endswith(("running_mean", "running_var"))
