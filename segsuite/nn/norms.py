"""Normalisation layers swapped throughout a network."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from segsuite.core.errors import ConfigError

Norm = Literal["bn", "gn16", "syncbn"]

_CHANNELS = 16


def with_norm(module: nn.Module, norm: Norm) -> nn.Module:
    """The module with its batch norms as they are (`bn`), in groups, or in step over processes.

    `gn16` normalises groups of 16 channels (of 8 or fewer where 16 does not divide them) and needs
    no batch. Names of weights stay, so that pretrained ones still fit.
    """
    if norm == "bn":
        return module
    if norm == "syncbn":
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(module)
    if norm != "gn16":
        raise ConfigError(f"method.norm={norm} is not known; choose bn, gn16 or syncbn")
    for name, child in module.named_children():
        known = isinstance(child, nn.BatchNorm2d)
        setattr(module, name, _grouped(child) if known else with_norm(child, norm))
    return module


class GroupNormAct(nn.GroupNorm):
    """A group norm, and what timm keeps inside its batch norms: drop and activation."""

    def __init__(self, groups: int, channels: int, *, drop: nn.Module, act: nn.Module) -> None:
        super().__init__(groups, channels)
        self.drop, self.act = drop, act

    def forward(self, input: Tensor) -> Tensor:
        normed = F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return self.act(self.drop(normed))


def _grouped(norm: nn.BatchNorm2d) -> nn.Module:
    channels = norm.num_features
    groups = channels // math.gcd(channels, _CHANNELS)
    keep = {name: getattr(norm, name, nn.Identity()) for name in ("drop", "act")}
    return GroupNormAct(groups, channels, **keep)
