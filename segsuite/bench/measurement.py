"""Everything that is measured of several networks, on the same images and in turns."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from statistics import pstdev
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from segsuite.bench.paper import Published, published
from segsuite.core.errors import ConfigError
from segsuite.core.hardware import Device, device_of
from segsuite.core.hints import Between
from segsuite.core.sizes import Size
from segsuite.engine.accuracy import Accuracy
from segsuite.engine.inference.candidates import Candidate, Compile, named
from segsuite.measure.breakdown import Part, breakdown
from segsuite.measure.closed_form import closed_form_of
from segsuite.measure.cost import Cost, total
from segsuite.measure.images import batch_of
from segsuite.measure.latency import Latency, Ratio, interleaved, ratio, timed
from segsuite.measure.memory import peak_bytes
from segsuite.measure.operations import Count, count, count_parameters
from segsuite.measure.tokens import StageTokens, tokens_per_stage
from segsuite.nn.folding import for_inference

_SAME = 0.01
"""How far counts of one network by two programs may lie apart."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: measured rounds at each batch size; each takes the next images.
        warm_up: rounds before those, which are not measured.
        precision: fp32, or bf16 by autocast.
        compile: whether the networks are measured compiled, and with "graphs" in CUDA graphs too;
            operations, parts and memory stay eager.
    """

    device: torch.device
    batch_sizes: tuple[int, ...] = (1, 8)
    rounds: int = 20
    warm_up: int = 3
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: Compile = False

    @property
    def shown(self) -> str:
        """How networks are run, which belongs beside every figure."""
        if not self.compile:
            return self.precision
        where = " in CUDA graphs" if self.compile == "graphs" else ""
        return f"{self.precision}, compiled{where}"

    @property
    def told(self) -> dict[str, Any]:
        """The same for a record."""
        return {"precision": self.precision, "compile": self.compile}


def settings(
    *,
    device: Device = "auto",
    batch_sizes: Sequence[Annotated[int, Between(1)]] = (1, 8),
    rounds: Annotated[int, Between(1)] = 20,
    warm_up: Annotated[int, Between(0)] = 3,
    precision: Literal["fp32", "bf16"] = "fp32",
    compile: Compile = False,
) -> Settings:
    """Settings as they are typed.

    Raises:
        ConfigError: no batch size is named, or a GPU that is not there.
    """
    if not batch_sizes:
        raise ConfigError("batch_sizes=[] measures nothing; name one, such as batch_sizes=[1]")
    where = device_of(device)
    if compile == "graphs" and where.type != "cuda":
        raise ConfigError(f"compile=graphs is of CUDA, and device is {where}; type compile=true")
    return Settings(
        device=where,
        batch_sizes=tuple(dict.fromkeys(batch_sizes)),
        rounds=rounds,
        warm_up=warm_up,
        precision=precision,
        compile=compile,
    )


@dataclass(frozen=True)
class Speed:
    """Time and memory at one batch size.

    Attributes:
        labels: time from images to class ids at the images' size.
        labels_ratio: how many times as fast as the first candidate.
        network, network_ratio: the same to scores at native stride; None for an exported file, and
            the ratio also beside one.
        peak: bytes held at most on the way to labels, beyond weights and images; None for an
            exported file.
    """

    labels: Latency
    labels_ratio: Ratio
    network: Latency | None = None
    network_ratio: Ratio | None = None
    peak: int | None = None


@dataclass(frozen=True)
class Measurement:
    """All that was found of one candidate; costs are for one image, means over the images.

    An exported file is timed alone: what is counted is None, and there are no parts.

    Attributes:
        path: path of its checkpoint or file; None for random weights.
        accuracy: how good it is; None where it was not measured.
        to_segments: whether what is timed ends with segments, not labels: it tells things apart.
        family: the package that the network's class is of, such as `segvit`.
        spread: standard deviation of the multiply-adds over images; 0 unless they depend on it.
        closed_form: operations by formula, with excluded modules left out; None where no formula is
            known.
        tokens: tokens at each stage; None for networks without a trace.
    """

    name: str
    path: str | None
    trained: bool
    size: Size
    num_classes: int
    speed: dict[int, Speed]
    accuracy: Accuracy | None = None
    to_segments: bool = False
    published: Published | None = None
    family: str | None = None
    parameters: int | None = None
    parameters_excluded: int | None = None
    everything: Cost | None = None
    excluded: Cost | None = None
    spread: float | None = None
    closed_form: Cost | None = None
    tokens: list[StageTokens] | None = None
    parts: Sequence[Part] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is an exported file, whose operations nobody counts."""
        return self.everything is None

    @property
    def comparable(self) -> bool:
        """Whether the paper's count is of the same task: the same size and number of classes."""
        paper = self.published
        return paper is not None and paper.comparable(self.size, self.num_classes)

    @property
    def beside_paper(self) -> float | None:
        """The counted cost as a multiple of the paper's; None where that is of another task."""
        if not self.comparable:
            return None
        return self.as_published.gfvcore / self.published.gflops

    @property
    def is_another(self) -> bool:
        """Whether it costs otherwise than the paper's network: it is not the same one."""
        return self.beside_paper is not None and abs(self.beside_paper - 1) > _SAME

    @property
    def as_published(self) -> Cost:
        """The counted cost without what papers leave out."""
        return self.everything - self.excluded


def measure(
    candidates: Sequence[Candidate],
    images: Tensor,
    settings: Settings,
    *,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """One measurement per candidate, in order; ratios refer to the first.

    Args:
        images: images (P, 3, H, W) uint8 on the device.
        tell: called with a sentence about what is going on.
    """
    with autocast(settings):
        counts: dict[str, list[Count]] = {}
        for candidate in (c for c in candidates if c.network is not None):
            tell(f"counting operations of {candidate.name}")
            with named(candidate.name):
                counts[candidate.name] = [count(candidate.network, i[None]) for i in images]
        ready = []
        for candidate in candidates:
            with named(candidate.name):
                ready.append(ready_to_run(candidate, images[:1]))
        speed = {}
        for batch in settings.batch_sizes:
            tell(f"timing {len(ready)} networks in turns at batch {batch}")
            speed[batch] = speed_at(batch, ready, images, settings)
        tell("timing the parts of each network")
        parts = {}
        for candidate in (c for c in ready if c.network is not None):
            first = counts[candidate.name][0]
            with named(candidate.name):
                parts[candidate.name] = breakdown(
                    candidate.network, images[:1], first, rounds=settings.rounds
                )
    measured = []
    for candidate in candidates:
        timed_alone = Measurement(
            name=candidate.name,
            path=candidate.path,
            trained=candidate.trained,
            size=(images.shape[-2], images.shape[-1]),
            num_classes=candidate.num_classes,
            to_segments=candidate.to_segments,
            speed={batch: speeds[candidate.name] for batch, speeds in speed.items()},
        )
        per_image = counts.get(candidate.name)
        measured.append(
            _with_costs(timed_alone, candidate, per_image, parts[candidate.name])
            if per_image
            else timed_alone
        )
    return measured


def ready_to_run(candidate: Candidate, example: Tensor) -> Candidate:
    """The candidate as it is run in earnest: batch norms folded into convolutions, same answers.

    Operations are counted before, since papers count the network as it is trained. A file is as it
    is run.
    """
    if candidate.network is None:
        return candidate
    return replace(
        candidate, network=for_inference(candidate.network, lambda n: n.predict(example))
    )


def speed_at(
    batch: int, candidates: Sequence[Candidate], images: Tensor, settings: Settings
) -> dict[str, Speed]:
    """Time and memory of each candidate at one batch size."""
    size = (images.shape[-2], images.shape[-1])
    runs = {c.name: c.steps(size, compile=settings.compile) for c in candidates}
    with torch.inference_mode(), autocast(settings), _compilation(settings, len(candidates)):
        for name, steps in runs.items():  # before anything is timed, so that it can be named
            with named(f"{name} at batch {batch}"):
                timed(steps, batch_of(images, batch, 0), settings.device)
        times = interleaved(
            runs,
            lambda turn: batch_of(images, batch, turn),
            rounds=settings.rounds,
            warm_up=settings.warm_up,
            device=settings.device,
            batch=batch,
        )
        first_batch = batch_of(images, batch, 0)
        peaks = {
            c.name: peak_bytes(
                lambda c=c: reduce(lambda x, step: step(x), c.steps(size), first_batch),
                settings.device,
            )
            for c in candidates
            if c.network is not None
        }
    first = times[candidates[0].name]
    return {name: _speed(taken, first, peaks.get(name)) for name, taken in times.items()}


def _speed(taken: Sequence[Latency], first: Sequence[Latency], peak: int | None) -> Speed:
    """From the ends of each step, the last of which gives labels."""
    compared = Speed(taken[-1], ratio(first[-1], taken[-1]), peak=peak)
    if len(taken) == 1:
        return compared
    return replace(
        compared,
        network=taken[0],
        network_ratio=ratio(first[0], taken[0]) if len(first) > 1 else None,
    )


def _compilation(settings: Settings, networks: int) -> Any:
    """Lets every network be compiled, or fail: torch stops silently at 8 versions of one code."""
    if not settings.compile:
        return nullcontext()
    versions = 4 * networks * len(settings.batch_sizes) + 8
    return torch._dynamo.config.patch(
        recompile_limit=versions,
        accumulated_recompile_limit=8 * versions,
        fail_on_recompile_limit_hit=True,
    )


def autocast(settings: Settings) -> Any:
    """A context in which networks run at the precision asked for."""
    if settings.precision == "fp32":
        return nullcontext()
    return torch.autocast(settings.device.type, dtype=torch.bfloat16)


def _with_costs(
    measured: Measurement, candidate: Candidate, counts: Sequence[Count], parts: list[Part]
) -> Measurement:
    """With what only a network tells."""
    network = candidate.network
    traces = [counted.prediction.trace for counted in counts]
    forms = [closed_form_of(network, trace) for trace in traces]
    known = [form for form in forms if form is not None]
    excluded = [_submodule(network, name) for name in network.excluded_from_cost]
    return replace(
        measured,
        family=type(network).__module__.rpartition(".")[0].rpartition(".")[2],
        parameters=count_parameters(network),
        parameters_excluded=sum(count_parameters(module) for module in excluded if module),
        everything=total(counted.everything for counted in counts) // len(counts),
        excluded=total(counted.excluded for counted in counts) // len(counts),
        spread=pstdev([counted.everything.macs for counted in counts]),
        closed_form=total(known) // len(known) if known else None,
        published=published().get(candidate.experiment),
        tokens=None if traces[0] is None else tokens_per_stage(traces),
        parts=parts,
    )


def _submodule(network: nn.Module, name: str) -> nn.Module | None:
    """A part by its dotted name; None where this network was built without it."""
    return dict(network.named_modules()).get(name)
