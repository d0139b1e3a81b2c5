"""What is compared: experiments as composed, trained checkpoints, and exported files."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import ListConfig
from torch import Tensor

from segsuite.core.build import build
from segsuite.core.checkpoint import network_from_checkpoint, read_checkpoint
from segsuite.core.config import options
from segsuite.core.errors import CheckpointError, ConfigError, did_you_mean
from segsuite.core.sizes import Size, check_size
from segsuite.core.targets import check_targets, prefixes
from segsuite.data.class_table import ClassTable
from segsuite.engine.inference.exported import ExportedPredictor, is_exported
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import classes_of
from segsuite.measure.latency import Step
from segsuite.nn.grouping import Grouping, PanopticMap
from segsuite.nn.panoptic import PanopticPrediction, PanopticSegmenter
from segsuite.nn.segmenter import Segmenter

Compile = bool | Literal["graphs"]
"""Whether networks are compiled, and with "graphs" run in CUDA graphs."""


@dataclass(frozen=True)
class Candidate:
    """What makes labels of images, to be measured: a network, or a file that it was exported to.

    Attributes:
        name: name that it is shown by.
        experiment: the name that papers' figures are kept under.
        network: the network; None for a file, whose operations and parts cannot be looked at.
        trained: whether its weights were learnt; random ones show cost, but not what an exit keeps.
        path: path of its checkpoint or file; None where it has none.
        evaluator: gives what makes the evaluator of its task; None for a semantic one.
        file: the exported file; None for a network.
        segments: makes segments of what the network says, at a size; None where it tells no things
            apart.
    """

    name: str
    experiment: str
    network: Segmenter | None
    trained: bool
    path: str | None = None
    evaluator: Callable[[], Any] | None = None
    file: ExportedPredictor | None = None
    segments: Callable[[Any, Size], Any] | None = None

    @property
    def num_classes(self) -> int:
        """How many classes it tells apart."""
        return self.network.num_classes if self.file is None else len(self.file.classes)

    @property
    def classes(self) -> ClassTable | None:
        """What it was trained to tell apart; None for random weights.

        Raises:
            CheckpointError: its checkpoint does not say so.
        """
        if self.file is not None:
            return self.file.classes
        return None if self.path is None else classes_of(read_checkpoint(self.path), self.path)

    @property
    def to_segments(self) -> bool:
        """Whether it tells things apart, and says so of an image."""
        return self.segments is not None or (self.file is not None and self.file.tells_apart)

    def steps(self, size: Size, *, compile: Compile = False) -> list[Step]:
        """How images (B, 3, *size) become labels (B, *size): step by step, to be timed.

        Where things are told apart, segments stand in place of labels.
        """
        if self.file is not None and self.to_segments:
            return [lambda images: self.file.answers(images, [size] * len(images))]
        if self.file is not None:
            return [self.file.labels_as_given]
        predict = self.network.predict
        if compile:
            mode = "reduce-overhead" if compile == "graphs" else None
            predict = torch.compile(predict, dynamic=False, mode=mode)
        if self.segments is not None:
            return [predict, lambda prediction: self.segments(prediction, size)]
        return [predict, lambda prediction: prediction.labels(size)]

    def labels(self, images: Tensor, size: Size) -> Tensor:
        """Class numbers (B, *size), on the CPU, of images of the size that is compared.

        Shapes: images (B, 3, H, W) uint8
        """
        if self.file is not None:
            return self.file.labels_as_given(images.cpu(), size)
        device = next(self.network.parameters()).device
        return self.network.predict(images.to(device)).labels(size).cpu()


def check_experiments(key: str, names: Any) -> None:
    """Raises ConfigError for what is no list of experiments, each with overrides after spaces.

    Args:
        key: where they were typed.
    """
    if not isinstance(names, list | ListConfig):
        raise ConfigError(f"{key}={names} is no list; type {key}=[{names}]")
    known = options("experiment")
    for name in map(str, names):
        if name.split()[:1] not in [[one] for one in known]:
            raise ConfigError(f"{key}: there is no experiment {name}{did_you_mean(name, known)}")


def from_experiment(
    typed: str, *, size: Size, overrides: Sequence[str] = (), allow: Sequence[str] = ()
) -> Candidate:
    """The network of an experiment, with random weights.

    Args:
        typed: the experiment's name, and overrides of its own after spaces:
            "cts_dtop_vitb_static method.sharing.windows=128".
        overrides: overrides of all experiments, such as the data set that was typed.
        allow: import prefixes of other people's packages.

    Raises:
        ConfigError: no such experiment, an override that does not fit, or a size that does not.
    """
    experiment, *own = typed.split()
    cfg = compose(
        "train",
        [f"experiment={experiment}", *overrides, f"data.crop_size=[{size[0]},{size[1]}]", *own],
    )
    # Constructors fetch nothing: without `load_initial_weights` the weights stay random.
    try:
        network = build(cfg.method.network, path="method.network", allow=tuple(allow))
    except ConfigError as error:  # of the size, which is typed by another name here
        raise ConfigError(str(error).replace("data.crop_size", "size")) from error
    if not isinstance(network, Segmenter):
        raise ConfigError(
            f"experiments=[{typed}]: {type(network).__name__} segments nothing, so that it cannot "
            "be compared; name the experiments that use it"
        )
    check_size(size, network.size_divisor, key="size")
    network.eval().requires_grad_(False)
    segments = None
    if isinstance(network, PanopticSegmenter):
        grouping = build(cfg.method.task.grouping, path="method.task.grouping", allow=tuple(allow))
        things = build(cfg.data, path="data", allow=tuple(allow)).classes.things
        segments = _segments(network, grouping, things)
    return Candidate(typed, experiment, network, trained=False, segments=segments)


def from_checkpoint(path: str, *, size: Size, allow: Sequence[str] = ()) -> Candidate:
    """The trained network of a checkpoint, named by its run and file.

    Raises:
        CheckpointError: the file cannot be read as a checkpoint of ours.
    """
    network, config = network_from_checkpoint(path, allow=tuple(allow))
    check_size(size, network.size_divisor, key="size")
    experiment = str(config.get("name") or Path(path).stem)
    task = config["method"].get("task", {})
    made, key = task.get("evaluator"), "method.task.evaluator"
    segments = None
    if isinstance(network, PanopticSegmenter):
        check_targets(
            task["grouping"], path="method.task.grouping", allow=tuple(allow), source=path
        )
        grouping = build(task["grouping"], path="method.task.grouping", allow=tuple(allow))
        things = classes_of(read_checkpoint(path), path).things
        segments = _segments(network, grouping, things)
    return Candidate(
        f"{experiment} ({_short(Path(path))})",
        experiment,
        network.requires_grad_(False),
        trained=True,
        path=path,
        evaluator=partial(build, made, path=key, allow=tuple(allow)) if made else None,
        segments=segments,
    )


def _segments(
    network: PanopticSegmenter, grouping: Grouping, things: Collection[int]
) -> Callable[[PanopticPrediction, Size], list[PanopticMap]]:
    """What makes segments of its predictions, at the size of the images that it was shown.

    One after another, as evaluation does: evidence is a number for each class and pixel.
    """
    numbers = sorted(things)
    return lambda prediction, size: [
        grouping(network.evidence(prediction.of(image), size)[0], numbers, seen=size)
        for image in range(len(prediction.places))
    ]


def from_file(path: str, *, size: Size) -> Candidate:
    """An exported file, run by ONNX Runtime in as many threads as torch has.

    Raises:
        CheckpointError: ONNX Runtime cannot load it, or it does not say what its classes are.
        ConfigError: it takes images of another size.
        MissingExtra: onnxruntime is not installed.
    """
    file = ExportedPredictor(path, threads=torch.get_num_threads())
    about = file.about
    if about.size != size:
        own, given = ("[{},{}]".format(*sides) for sides in (about.size, size))
        raise ConfigError(
            f"{path} takes images of size={own} alone, and networks are compared at size={given}; "
            f"type size={own}, or export it again with size={given}"
        )
    return Candidate(
        f"{about.network} ({_short(Path(path))}{Path(path).suffix})",
        about.network,
        None,
        trained=about.iteration is not None,
        path=path,
        file=file,
    )


@contextmanager
def named(name: str) -> Iterator[None]:
    """Says of which of several networks an error is.

    Raises:
        ConfigError: the GPU's memory does not suffice.
    """
    try:
        yield
    except (ConfigError, CheckpointError) as error:
        raise type(error)(f"{name}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"{name}: the memory does not suffice ({str(error).splitlines()[0]}); type smaller "
            "batch_sizes=[1] or a smaller size"
        ) from error
    except Exception as error:
        error.add_note(f"while measuring {name}")
        raise


class NamedNetworks:
    """The networks that a command names, to be built once their size is known.

    Args:
        experiments, checkpoints: what the networks are made of.
        overrides: overrides of all experiments.
        allow: packages of other people that are trusted.

    Raises:
        ConfigError: a comma of a path was taken for one between two.
    """

    def __init__(
        self,
        *,
        experiments: Sequence[str] = (),
        checkpoints: Sequence[str] = (),
        overrides: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> None:
        self.experiments, self.checkpoints = list(experiments), list(checkpoints)
        self.overrides, self.allow = list(overrides), prefixes(list(allow))
        whole = ",".join(self.checkpoints)
        # Not Path.is_file, which raises where many paths make a name that is too long for a file.
        if len(self.checkpoints) > 1 and os.path.isfile(whole):
            raise ConfigError(
                f"checkpoints={self.checkpoints} is one file with a comma in its name; type "
                f"\"checkpoints=['{whole}']\", in both kinds of quotes"
            )

    def built(self, size: Size, *, data_overrides: Sequence[str] = ()) -> list[Candidate]:
        """All networks to compare; ratios refer to the first.

        Args:
            data_overrides: what was typed about the data set, which experiments are built for too.

        Raises:
            ConfigError: none was named, one was named twice, or overrides are of none of them.
        """
        if self.overrides and not self.experiments and self.checkpoints:
            raise ConfigError(
                f"{' '.join(self.overrides)} would change nothing: overrides are of "
                "experiments=[...], and a checkpoint is the network that was trained"
            )
        kind = {"size": size, "allow": self.allow}
        trained = [
            from_file(path, size=size) if is_exported(path) else from_checkpoint(path, **kind)
            for path in self.checkpoints
        ]
        overrides, untrained = [*data_overrides, *self.overrides], []
        for typed in self.experiments:
            with named(typed) if len(self.experiments) > 1 else nullcontext():
                untrained.append(from_experiment(typed, overrides=overrides, **kind))
        compared = untrained + trained
        names = [candidate.name for candidate in compared]
        if not names:
            raise ConfigError(
                "nothing to measure; type experiments=[segvit_vitt,cts_vitt] or "
                "checkpoints=[FILE], of .ckpt and .onnx files"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"named twice: {', '.join(twice)}; name each network once")
        return compared


def _short(path: Path) -> str:
    """ "2026-11-21_10-00-00/best" for .../2026-11-21_10-00-00/checkpoints/best.ckpt."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    return f"{run.name}/{path.stem}" if run.name else path.stem
