"""What a training step holds at its peak, against the number of classes and the loss.

The paper's figure 1 and table 6 (Jain et al., ICCV 2021): how many images fit a card.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from segsuite.bench.memory_report import memory_table, save_memory_plot
from segsuite.bench.probes import Tell
from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.hardware import Device, device_of, free_memory
from segsuite.core.hints import Between, Count, Sides
from segsuite.core.results import Entry, metrics_of
from segsuite.core.sizes import Size
from segsuite.core.targets import locate, prefixes
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch.entry_point import compose
from segsuite.measure import machine
from segsuite.measure.memory import peak_bytes
from segsuite.methods.essnet.losses.base import PixelLoss

_BATCHES = (2, 4)
"""Measured; batch norms behind image pooling need two images. What lies beyond is a line."""

_ON_CPU = (96, 96)

_GIGA = 1e9


@dataclass(frozen=True)
class StepMemory:
    """The peak of a training step as a line in the batch.

    Attributes:
        constant: bytes that a batch of any size takes: weights, their gradients, what the optimiser
            remembers.
        per_image: bytes for each image of the size asked for.
    """

    constant: float
    per_image: float

    def peak(self, batch: int) -> float:
        """Bytes."""
        return self.constant + batch * self.per_image

    def largest_batch(self, bytes_: float) -> int:
        """Images that fit so many bytes; 0 where not even one does."""
        return max(int((bytes_ - self.constant) // max(self.per_image, 1.0)), 0)


@dataclass(frozen=True)
class MemoryRow:
    """One way to train at one number of classes; None where it did not fit this machine."""

    arm: str
    classes: int
    memory: StepMemory | None

    def to_dict(self, batch: int, gigabytes: float) -> dict[str, Any]:
        """Plain numbers: the peak at a batch, and the largest batch that fits."""
        memory = self.memory
        return {
            "arm": self.arm,
            "classes": self.classes,
            "peak_gigabytes": memory and memory.peak(batch) / _GIGA,
            "largest_batch": memory and memory.largest_batch(gigabytes * _GIGA),
            "megabytes_per_image": memory and memory.per_image / 1e6,
        }


@dataclass(frozen=True)
class TrainingMemory:
    """What was found, and about what."""

    rows: list[MemoryRow]
    experiment: str
    size: Size
    measured_at: Size
    batch: int
    gigabytes: float
    machine: dict[str, str | int]

    @property
    def circumstances(self) -> str:
        """One phrase that belongs beside every figure."""
        scaled = ""
        if self.measured_at != self.size:
            scaled = f" (measured at {self.measured_at[0]}x{self.measured_at[1]}, by area)"
        return (
            f"training {self.experiment}, images of {self.size[0]}x{self.size[1]}{scaled}, "
            f"{machine.shown(self.machine)}"
        )

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; the rows are the parts and the whole."""
        del parts
        return {
            "machine": self.machine,
            "experiment": self.experiment,
            "size": list(self.size),
            "measured_at": list(self.measured_at),
            "gigabytes": self.gigabytes,
            "batch": self.batch,
            "rows": [row.to_dict(self.batch, self.gigabytes) for row in self.rows],
        }

    def entries(self) -> list[Entry]:
        """One per way to train and number of classes."""
        kind = {"batch": self.batch, "gigabytes": self.gigabytes, "size": list(self.size)}
        entries = []
        for row in self.rows:
            plain = row.to_dict(self.batch, self.gigabytes)
            name, settings = plain.pop("arm"), kind | {"classes": plain.pop("classes")}
            entries.append(Entry(name=name, metrics=metrics_of(plain), settings=settings))
        return entries

    def show(self, console: Console, folder: Path) -> None:
        """Prints the table and writes memory.png."""
        result = self.to_dict()
        console.print(memory_table(result, self.circumstances))
        save_memory_plot(result, folder / "memory.png", title=self.circumstances)
        console.print(f"written: {folder}/memory.png, result.json", highlight=False, soft_wrap=True)


class CompareMemory:
    """`probe=memory`: the peak of a training step against the number of classes, by loss.

    Args:
        experiment: what is trained.
        classes: numbers of classes that are compared.
        arms: ways to train by name, each as overrides of the experiment.
        size: size of the images that are asked about.
        measured_at: size of the images that are measured; None is `size` on a GPU, 96x96 on a CPU.
        batch: batch size whose peak is shown.
        gigabytes: memory that the largest batch is sought for.
        overrides: overrides that all arms share.
        threads: threads of the CPU; None leaves torch's choice.
        allow: packages of other people that are trusted.
    """

    def __init__(
        self,
        *,
        experiment: str,
        classes: Sequence[Annotated[int, Between(2)]],
        arms: Mapping[str, Sequence[str]],
        size: Sides = (450, 450),
        measured_at: Sides | None = None,
        batch: Count = 10,
        gigabytes: Annotated[float, Between(0)] = 12.0,
        overrides: Sequence[str] = (),
        device: Device = "auto",
        threads: Count | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        self.experiment, self.classes, self.arms = experiment, list(classes), arms
        self.device, self.size = device_of(device), pair(size)
        self.measured_at = pair(measured_at or (size if self.device.type == "cuda" else _ON_CPU))
        self.batch, self.gigabytes, self.threads = batch, gigabytes, threads
        self.overrides, self.allow = list(overrides), prefixes(list(allow))

    def __call__(self, *, data_overrides: Sequence[str], tell: Tell) -> TrainingMemory:
        """Measures; classes and sizes are the probe's own, not those of a data set."""
        del data_overrides
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        rows = probe(
            self.experiment,
            self.arms,
            self.classes,
            size=self.size,
            measured_at=self.measured_at,
            device=self.device,
            overrides=self.overrides,
            allow=self.allow,
            tell=tell,
        )
        return TrainingMemory(
            rows=rows,
            experiment=self.experiment,
            size=self.size,
            measured_at=self.measured_at,
            batch=self.batch,
            gigabytes=self.gigabytes,
            machine=machine.machine(self.device),
        )


def probe(
    experiment: str,
    arms: Mapping[str, Sequence[str]],
    classes: Sequence[int],
    *,
    size: Size,
    measured_at: Size,
    device: torch.device,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> list[MemoryRow]:
    """A row for each arm and number of classes.

    Args:
        arms: overrides of the experiment by name, such as {"exact": ["method/loss=exact"]}.
        size: size of the images that are asked about.
        measured_at: size of the images that are measured; smaller on a CPU. Activations grow by the
            area.

    Raises:
        ConfigError: an experiment or override that does not fit, or a task that needs instances.
    """
    rows = []
    for name, own in arms.items():
        for count in classes:
            tell(f"{name}, {count} classes")
            typed = [f"experiment={experiment}", "data=scenes", f"data.num_classes={count}"]
            typed += [f"data.crop_size=[{measured_at[0]},{measured_at[1]}]", *overrides, *own]
            cfg = compose("train", typed)
            _check_task(cfg, experiment, name, tuple(allow))
            memory = _memory(cfg, measured_at, size, count, device, tuple(allow))
            rows.append(MemoryRow(name, count, memory))
    return rows


def _check_task(cfg: Any, experiment: str, arm: str, allow: tuple[str, ...]) -> None:
    """Raises ConfigError for a task whose loss needs more than the labels that are drawn here."""
    task = locate(cfg.method.task._target_, "method.task", allow)
    if getattr(task, "needs_instances", False):
        raise ConfigError(
            f"probe=memory draws labels of classes alone, but the arm `{arm}` of "
            f"probe.experiment={experiment} tells instances apart; type probe.experiment=NAME of "
            "one that learns classes alone, such as essnet_coco_lvis_resnet50"
        )


def _memory(
    cfg: Any, measured_at: Size, size: Size, classes: int, device: torch.device, allow: tuple
) -> StepMemory | None:
    network = build(cfg.method.network, path="method.network", allow=allow).to(device).train()
    loss = build(cfg.method.loss, path="method.loss", allow=allow)
    loss = loss.to(device) if isinstance(loss, nn.Module) else loss
    peaks: list[int] = []
    for batch in _BATCHES:
        pixels = batch * measured_at[0] * measured_at[1]
        needed = loss.least_bytes(pixels, classes) if isinstance(loss, PixelLoss) else 0
        # Before it is tried: a machine that runs out of memory takes its other programs along.
        if max([needed, *(2 * peak for peak in peaks)]) > free_memory(device):
            return None
        try:
            peaks.append(_step_peak(network, loss, batch, measured_at, classes, device))
        except torch.OutOfMemoryError:
            return None
    slope = (peaks[1] - peaks[0]) / (_BATCHES[1] - _BATCHES[0])
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    make = build(cfg.method.task.optimizer, path="method.task.optimizer", allow=allow)
    remembered = state_bytes(make(network.parameters()))
    area = (size[0] * size[1]) / (measured_at[0] * measured_at[1])
    constant = max(peaks[0] - _BATCHES[0] * slope, 0.0) + 2 * weights + remembered
    return StepMemory(constant=constant, per_image=slope * area)


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes that an optimiser keeps from step to step: none, one or two numbers a weight.

    Found by a step with the gradients that are there.
    """
    optimizer.step()
    return sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )


def _step_peak(
    network: nn.Module, loss: Any, batch: int, size: Size, classes: int, device: torch.device
) -> int:
    """Bytes beyond weights, their gradients and images.

    Gradients are there from the start, as in all steps but the first: at a small size they would
    otherwise hide what grows with the batch.
    """
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *size), generator=random).float().to(device)
    labels = torch.randint(0, classes, (batch, *size), generator=random).to(device)

    def step() -> None:
        sum(loss(network(images), labels).values()).backward()

    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gc.collect()
    return peak_bytes(step, device)
