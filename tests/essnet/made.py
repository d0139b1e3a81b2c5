"""Networks and outputs of the family at small sizes."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor

from segsuite.core.build import build
from segsuite.core.config import composed
from segsuite.methods.essnet.network import Essnet
from segsuite.methods.essnet.output import EssnetOutput, Metric


def network(*overrides: str, classes: int = 19, backbone: str = "mobilenetv2") -> Essnet:
    """A network as configured, with weights that are drawn."""
    chosen = (f"method/backbone={backbone}", "data=scenes", f"data.num_classes={classes}")
    cfg = _config(*chosen, *overrides)
    torch.manual_seed(0)
    return build(cfg.method.network, path="method.network")


@cache
def _config(*overrides: str) -> DictConfig:
    """Composed once for networks that are built again and again; nobody writes to it."""
    return composed("train", ["method=essnet", "method.backbone.weights=none", *overrides])


def output(
    metric: Metric = "sq",
    *,
    classes: int = 23,
    dim: int = 6,
    size: tuple[int, int] = (4, 5),
    batch: int = 2,
    normalize_after: bool = False,
) -> EssnetOutput:
    """Features and classes in float64, of unit length unless it is a linear head's."""
    random = torch.Generator().manual_seed(classes * dim)
    x = torch.randn(batch, dim, *size, generator=random, dtype=torch.float64)
    e = torch.randn(classes, dim, generator=random, dtype=torch.float64)
    bias = torch.randn(classes, generator=random, dtype=torch.float64)
    linear = metric == "dot"
    if not linear:
        e = F.normalize(e, dim=1)
        x = x if normalize_after else F.normalize(x, dim=1)
    return EssnetOutput(
        features=x.requires_grad_(),
        table=e.requires_grad_(),
        bias=bias.requires_grad_() if linear else None,
        scale=1.0 if linear else 20.0,
        metric=metric,
        normalize_after=normalize_after,
    )


def logits(out: EssnetOutput, size: tuple[int, int]) -> Tensor:
    """(B, H, W, C) all of them, by the definition of the metric."""
    fine = F.interpolate(out.features, size=size, mode="bilinear", align_corners=False)
    fine = F.normalize(fine, dim=1) if out.normalize_after else fine
    x = fine.permute(0, 2, 3, 1).unsqueeze(3)
    if out.metric == "dot":
        return (x * out.table).sum(-1) + out.bias
    squares = (x - out.table).square().sum(-1)
    return -out.scale * (squares if out.metric == "sq" else squares.sqrt())


def golden(name: str) -> dict[str, float]:
    """Values of the released code and of the paper's formulas, computed in float64."""
    return {"small": _SMALL, "middle": _MIDDLE, "large": _LARGE}[name]


def golden_output(case: dict[str, float], metric: Metric) -> tuple[EssnetOutput, Tensor]:
    """Features, classes and labels that the golden values were computed on."""
    b, d, h, w, c = (int(case[key]) for key in "bdhwc")
    n = torch.arange(b * d * h * w, dtype=torch.double)
    m = torch.arange(c * d, dtype=torch.double)
    x = F.normalize(torch.sin(0.37 * n * n / 7 + 0.11 * n).view(b, d, h, w), dim=1)
    e = F.normalize(torch.cos(0.53 * m * m / 5 + 0.29 * m).view(c, d), dim=1)
    y = ((torch.arange(b * h * w) * 7919) % c).view(b, h, w)
    y[0, 0, 0] = y[0, -1, -1] = -1
    out = EssnetOutput(
        features=x.requires_grad_(), table=e.requires_grad_(), bias=None, scale=20.0, metric=metric
    )
    assert math.isclose(float(e.detach().norm()), c**0.5)
    return out, y


_SMALL = {
    "b": 2,
    "d": 7,
    "h": 5,
    "w": 6,
    "c": 19,
    "k": 6,
    "ref_total": 11.52269061215088,
    "reg": 0.0,
    "eq6": 26.003409945458653,
    "exact_sq": 26.003431906558752,
    "exact_l2": 11.523427576897914,
    "grad_x_norm": 2.7843877830275097,
    "grad_e_norm": 4.275965121858199,
}

_MIDDLE = {
    "b": 1,
    "d": 12,
    "h": 8,
    "w": 8,
    "c": 150,
    "k": 7,
    "ref_total": 12.83894011048598,
    "reg": 0.0069498217363444074,
    "eq6": 28.17438985547803,
    "exact_sq": 28.17754560892389,
    "exact_l2": 12.89641047114371,
    "grad_x_norm": 2.564779646916182,
    "grad_e_norm": 3.0443439577494944,
}

_LARGE = {
    "b": 1,
    "d": 12,
    "h": 9,
    "w": 7,
    "c": 1284,
    "k": 8,
    "ref_total": 15.59743130450587,
    "reg": 0.05869034152651978,
    "eq6": 32.048950572994414,
    "exact_sq": 32.196114957556155,
    "exact_l2": 15.93631688602014,
    "grad_x_norm": 2.8879741866166175,
    "grad_e_norm": 2.826870936982589,
}
