"""How fast networks are trained: with their data as they come, and with batches ready made."""

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from segsuite.bench.probes import Tell
from segsuite.core.build import build
from segsuite.core.errors import ConfigError
from segsuite.core.hardware import Device, device_of
from segsuite.core.hints import Between, Count, Sides
from segsuite.core.results import Entry, Metric
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size, check_size
from segsuite.core.targets import prefixes
from segsuite.engine.class_weights import settle_class_weights
from segsuite.engine.inference.candidates import check_experiments
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch.entry_point import compose
from segsuite.measure import machine
from segsuite.measure.latency import Latency, Ratio, ratio
from segsuite.measure.memory import peak_bytes
from segsuite.nn.for_training import make_ready


@dataclass(frozen=True)
class TrainingRow:
    """What was found of one way to train.

    Attributes:
        whole: seconds an iteration, its batch included, in each round.
        ready: the same where the batch is there already.
        waited: seconds of `whole` that the batch was waited for, in each round.
        times: how many times as fast as the first, by `whole` and the image.
        peak: bytes beyond weights and what the optimiser remembers; None of a compiled network.
    """

    name: str
    batch: int
    workers: int
    whole: Latency
    ready: Latency
    waited: Latency
    times: Ratio
    peak: int | None

    @property
    def waiting_share(self) -> float:
        """Of an iteration, by the medians."""
        return self.waited.median / self.whole.median

    def entry(self, size: Size, precision: str) -> Entry:
        """For the record."""
        metrics = {
            "images_per_second": _rate(self.whole),
            "images_per_second_ready_made": _rate(self.ready),
            "iteration_ms": self.whole.metric,
            "waiting_ms": self.waited.metric,
            "waiting_share": Metric(value=self.waiting_share),
            "times_as_fast": self.times.metric,
            "peak_megabytes": Metric(value=self.peak and self.peak / 1e6),
        }
        settings = {"batch": self.batch, "workers": self.workers, "size": list(size)}
        return Entry(name=self.name, metrics=metrics, settings=settings | {"precision": precision})


def _rate(latency: Latency) -> Metric:
    rates = (latency.batch / seconds for seconds in (latency.median, latency.p90, latency.p10))
    value, low, high = rates
    return Metric(value=value, low=low, high=high)


@dataclass(frozen=True)
class TrainingSpeed:
    """What was found, and about what."""

    rows: list[TrainingRow]
    size: Size
    precision: str
    data: str
    machine: dict[str, str | int]

    def entries(self) -> list[Entry]:
        """One per way to train."""
        return [row.entry(self.size, self.precision) for row in self.rows]

    def to_dict(self, *, parts: bool = True) -> dict[str, Any]:
        """Plain types; the rows are the parts and the whole."""
        del parts
        rows = [
            {"name": entry.name, **entry.settings}
            | {name: metric.value for name, metric in entry.metrics.items()}
            for entry in self.entries()
        ]
        return {"machine": self.machine, "data": self.data, "size": list(self.size), "rows": rows}

    def show(self, console: Console, folder: Path) -> None:
        """Prints the table."""
        height, width = self.size
        where = f"{height}x{width}, {self.precision}, {self.data}, {machine.shown(self.machine)}"
        names = ("batch", "workers", "img/s", "times", "waiting", "img/s, ready made", "peak MB")
        table = Table("", *names, title=f"training, {where}")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            t = row.times
            times = f"{t.median:.2f} ({t.low:.2f}–{t.high:.2f})"
            table.add_row(
                *(row.name, str(row.batch), str(row.workers)),
                f"{row.whole.images_per_second:.2f}",
                "1" if row is self.rows[0] else times,
                f"{row.waiting_share:.1%}",
                f"{row.ready.images_per_second:.2f}",
                "–" if row.peak is None else f"{row.peak / 1e6:.0f}",
            )
        table.caption = (
            "an iteration is forward, losses, gradients, optimiser and schedule; no logging, "
            "validation or checkpoint. In turns; times: median of the paired ratios to the first "
            f"({self.rows[0].times.interval}); waiting: share of an iteration that its batch is "
            "waited for, once what workers had ready is used up; peak beyond weights and what the "
            "optimiser remembers, on a CPU of live tensors"
        )
        console.print(table)
        console.print(f"written: {folder}/result.json", highlight=False, soft_wrap=True)


@dataclass
class _Training:
    """A task with its optimiser and data.

    Attributes:
        in_stock: batches that the loader's workers make ahead.
    """

    name: str
    task: Any
    batches: Iterator[Any]
    batch_size: int
    workers: int
    in_stock: int
    device: torch.device
    precision: str
    clip: float | None
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.task.to(self.device).train()
        self.optimizer, self.schedule = self.task.optimisation(max_steps=10**6)
        self.ready = next(self.batches)

    def iterate(self, batch: Any) -> None:
        """As Lightning does, in its order."""
        moved = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        lower = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if lower else nullcontext():
            loss = torch.stack(list(self.task.losses(moved).values())).sum()
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.task.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()

    def turn(self, iterations: int, *, counts: bool) -> None:
        """Some iterations in a row with its data, and as many with a batch ready made."""
        for _ in range(self.in_stock):  # made while others had their turn
            self.iterate(next(self.batches))
        whole, waited = self._timed(iterations, self.batches)
        ready, _ = self._timed(iterations, iter(lambda: self.ready, None))
        if self.device.type == "cuda":  # there the host waits while the GPU works
            waited = max(whole - ready, 0.0)
        if counts:
            for name, seconds in (("whole", whole), ("waited", waited), ("ready", ready)):
                self.seconds.setdefault(name, []).append(seconds)

    def _timed(self, iterations: int, batches: Iterator[Any]) -> tuple[float, float]:
        """Seconds an iteration, and of these until its batch was there."""
        self._settle()
        begun, waited = time.perf_counter(), 0.0
        for _ in range(iterations):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            self.iterate(batch)
        self._settle()
        return (time.perf_counter() - begun) / iterations, waited / iterations

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def by_image(self) -> Latency:
        """Seconds an image, in each round."""
        return Latency(tuple(seconds / self.batch_size for seconds in self.seconds["whole"]))

    def row(self, first: "_Training", peak: int | None) -> TrainingRow:
        """What was found, once all turns are over."""
        found = {name: Latency(tuple(s), self.batch_size) for name, s in self.seconds.items()}
        # By the image: experiments may have batches of their own.
        times = ratio(first.by_image(), self.by_image())
        return TrainingRow(
            self.name, self.batch_size, self.workers, **found, times=times, peak=peak
        )


class CompareTraining:
    """`probe=training`: images a second that experiments learn from, in turns.

    Args:
        experiments: what is trained, by name, each with overrides of its own after spaces; with
            random weights.
        data: the data module that was typed; each experiment makes its own of the same overrides.
        size: (height, width) of the crops.
        batch_size: images in a batch; None for each experiment's own.
        iterations: how many each has in a turn, with its data and ready made.
        overrides: overrides that all share.
        compile: whether each is measured compiled by torch.compile too.
        allow: packages of other people that are trusted.
    """

    def __init__(
        self,
        *,
        experiments: Sequence[str],
        data: Any,
        size: Sides = (512, 512),
        batch_size: Annotated[int, Between(1)] | None = None,
        iterations: Count = 2,
        overrides: Sequence[str] = (),
        device: Device = "auto",
        threads: Count | None = None,
        rounds: Count = 20,
        warm_up: Annotated[int, Between(0)] = 3,
        precision: Literal["fp32", "bf16"] = "fp32",
        compile: bool = False,
        seed: int = 0,
        allow: Sequence[str] = (),
    ) -> None:
        check_experiments("experiments", experiments)
        if not experiments:
            raise ConfigError("nothing to train; type experiments=[NAME,NAME]")
        self.experiments, self.size, self.batch_size = list(experiments), pair(size), batch_size
        self.iterations, self.overrides = iterations, list(overrides)
        self.reader = getattr(data, "reader_name", type(data).__name__)
        self.device, self.threads, self.precision = device_of(device), threads, precision
        self.rounds, self.warm_up, self.compile, self.seed = rounds, warm_up, compile, seed
        self.allow = prefixes(list(allow))

    def __call__(self, *, data_overrides: Sequence[str], tell: Tell) -> TrainingSpeed:
        """Makes all trainings, and lets them take turns."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        trainings = []
        for typed in self.experiments:
            tell(f"making {typed}")
            cfg = self._config(typed, data_overrides)
            data = build(cfg.data, path="data", allow=self.allow)
            data.prepare_data()
            data.setup("fit")
            task = self._task(cfg, data)
            trainings.append(self._training(typed, cfg, task, data))
            if self.compile:
                compiled = copy.deepcopy(task)
                compiled.network.compile()
                trainings.append(self._training(f"{typed}, compiled", cfg, compiled, data))
        for turn in range(-self.warm_up, self.rounds):
            tell(f"round {turn + 1} of {self.rounds}" if turn >= 0 else "warming up")
            for training in trainings:
                training.turn(self.iterations, counts=turn >= 0)
        peaks = [self._peak(training) for training in trainings]
        return TrainingSpeed(
            rows=[t.row(trainings[0], p) for t, p in zip(trainings, peaks, strict=True)],
            size=self.size,
            precision=self.precision,
            data=self.reader,
            machine=machine.machine(self.device),
        )

    def _config(self, typed: str, data_overrides: Sequence[str]) -> Any:
        experiment, *own = typed.split()
        height, width = self.size
        shared = [f"seed={self.seed}", f"data.crop_size=[{height},{width}]"]
        if self.batch_size is not None:
            shared.append(f"data.batch_size={self.batch_size}")
        data = data_overrides or ["data=scenes"]
        named = [f"experiment={experiment}", *data, *shared, *self.overrides, *own]
        return compose("train", named)

    def _task(self, cfg: Any, data: Any) -> Any:
        seed_everything(self.seed)
        network = build(cfg.method.network, path="method.network", allow=self.allow)
        check_size(self.size, network.size_divisor)
        task = build(
            cfg.method.task,
            path="method.task",
            allow=self.allow,
            network=network,
            classes=data.classes,
            inference=build(cfg.inference, path="inference", allow=self.allow),
        )
        settle_class_weights(task, data)
        task.find_teacher(data.classes, self.size, allow=self.allow)
        make_ready(network)
        return task

    def _training(self, name: str, cfg: Any, task: Any, data: Any) -> _Training:
        loader = data.train_dataloader()
        return _Training(
            name=name,
            task=task,
            batches=iter(loader),
            batch_size=cfg.data.batch_size,
            workers=loader.num_workers,
            in_stock=loader.num_workers * (loader.prefetch_factor or 0),
            device=self.device,
            precision=self.precision,
            clip=cfg.trainer.gradient_clip_val,
        )

    def _peak(self, training: _Training) -> int | None:
        if training.name.endswith(", compiled"):  # what it holds is not seen, tensor by tensor
            return None
        return peak_bytes(lambda: training.iterate(training.ready), self.device)
