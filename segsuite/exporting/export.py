"""A whole export: from a network to files, each compared with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import OmegaConf

from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.files import remove_leftovers, write_json, written_whole
from segsuite.core.hints import Count, Sides
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable
from segsuite.engine.accuracy import Accuracy, accuracy, evaluator_of
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch.rebuild import check_same, iteration_of, network_of
from segsuite.engine.launch.run import Run
from segsuite.exporting.exported import Exported, Written
from segsuite.exporting.formats import Format, formats
from segsuite.exporting.graph import Graph, Output
from segsuite.exporting.images import Calibration, calibration_images, other_images
from segsuite.exporting.panoptic_graph import PanopticGraph, equal_segments
from segsuite.exporting.parity import Limits, compared, labelled
from segsuite.nn.grouping import Grouping
from segsuite.nn.segmenter import Segmenter
from segsuite.runtime.description import Description


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Whether and on what the network and its files are scored.

    Attributes:
        measure: "auto" where an int8 file of trained weights is made.
        images: how many validation images are scored; None for all.
    """

    measure: Literal["auto"] | bool = "auto"
    images: Count | None = None


@dataclass(kw_only=True, eq=False)
class Export:
    """One export; what several formats need is made once.

    Attributes:
        formats: names of the formats, see `exporting.formats`.
        parity: how far float files may be from the network.
        calibration: what int8 is calibrated with.
        accuracy: whether files are scored.
        size: (height, width) of the images; None for the crops of the training.
        output: what the files give.
        opset: of ONNX.
        threads: threads of the runtimes.
        output_folder: folder of the files; None for the run's.
        name: name of the files.

    Raises:
        ConfigError: settings that do not fit; found before anything is exported.
    """

    formats: Sequence[str]
    parity: Limits
    calibration: Calibration
    accuracy: Scoring
    size: Sides | None = None
    output: Output = "labels"
    opset: Count = 18
    threads: Count = 1
    output_folder: str | None = None
    name: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.chosen = formats(self.formats)

    def __call__(self, run: Run, *, tell: Callable[[str], None]) -> Exported:
        """Writes all files of the network that the run's config names.

        Raises:
            CheckpointError: its checkpoint cannot be read, or it segments nothing.
            ConfigError, DataError: what was asked for does not fit together.
            ExportError: a runtime cannot take the network, or answers otherwise.
            MissingExtra: a runtime is not installed.
        """
        seed_everything(self.seed)
        torch.set_num_threads(self.threads)
        network, classes = _network_of(run)
        network.check_static()
        measures = self._measures(trained=run.config.ckpt_path is not None)
        of_instances = _idle_of_instances(run, self.chosen, self.output)
        _check_heeded(run.typed, _idle(self.chosen, measures) | of_instances)
        for wanted in self.chosen:
            wanted.check()
        size = pair(run.config.data.crop_size if self.size is None else self.size)
        job = _Job(self, run, network, classes, size, measures, tell)
        return job.done(Path(self.output_folder or run.folder))

    def _measures(self, *, trained: bool) -> bool:
        if self.accuracy.measure == "auto":
            return trained and any(wanted.int8 for wanted in self.chosen)
        return bool(self.accuracy.measure)


def _name(run: Run) -> str:
    """What the network is called in tables: its checkpoint or its experiment."""
    return str(run.config.ckpt_path or run.config.experiment)


def _network_of(run: Run) -> tuple[Segmenter, ClassTable | None]:
    """The network that a run's config names, and the classes that it was trained for.

    Random weights, without a checkpoint, were trained for none.
    """
    if run.config.ckpt_path is not None:
        network, classes = network_of(run)
    else:
        # Constructors fetch nothing: the weights stay random.
        network, classes = run.build("method.network").eval(), None
    if not isinstance(network, Segmenter):
        raise CheckpointError(
            f"{_name(run)} is a {type(network).__name__}, which segments nothing; give a network "
            "that does"
        )
    return network, classes


@dataclass
class _Job:
    """One network on its way to its files.

    Attributes:
        classes: classes that the network was trained for; None for random weights.
    """

    export: Export
    run: Run
    network: Segmenter
    classes: ClassTable | None
    size: Size
    measures: bool
    tell: Callable[[str], None]

    @cached_property
    def data(self) -> Any:
        """The data set; with the classes that the network was trained for, if it is scored.

        Raises:
            CheckpointError: it has others.
        """
        data = self.run.build("data")
        trained_for = (self.classes or data.classes).names
        if self.measures:
            check_same(trained_for, data.classes.names, _name(self.run))
        elif self._calibrates() and trained_for != data.classes.names:
            self.tell("int8 is calibrated with images of other classes than were trained")
        data.prepare_data()
        return data

    def _calibrates(self) -> bool:
        return any(wanted.int8 for wanted in self.export.chosen)

    @cached_property
    def seen_by_int8(self) -> torch.Tensor:
        """Images that int8 is calibrated with."""
        return calibration_images(
            self.data,
            count=self.export.calibration.images,
            least=self.export.calibration.least,
            size=self.size,
        )

    def done(self, folder: Path) -> Exported:
        export = self.export
        others = other_images(self.data, count=export.parity.images, size=self.size)
        if self._calibrates():
            self.seen_by_int8.shape  # noqa: B018  found wanting before minutes of exporting
        folder.mkdir(parents=True, exist_ok=True)
        files = [self.written(wanted, folder, others) for wanted in export.chosen]
        score = None
        if self.measures:
            self.tell("measuring the network's own accuracy")
            score = self._scored(lambda image, size: self.network.predict(image).labels(size))
        trained = self.run.config.ckpt_path is not None
        return Exported(_name(self.run), trained, self.size, export.output, files, score)

    def written(self, wanted: Format, folder: Path, others: torch.Tensor) -> Written:
        export, network = self.export, self.network
        path = folder / f"{export.name or 'network'}{wanted.suffix}"
        graph = self._graph(wanted, path.name)
        replaced = f", in place of the {path.name} that is there" if path.exists() else ""
        self.tell(f"exporting {path.name}{replaced}")
        images = self.seen_by_int8 if wanted.int8 else None
        remove_leftovers(folder)
        with written_whole(path) as beside:  # what is compared is the very file
            about = self._about(wanted, graph)
            kind = {"opset": export.opset, "threads": export.threads, "about": about}
            made = wanted.made(graph, beside, images, **kind)
            parity = compared(made.run, network, graph, others, scores_behind=made.scores)
            # The heat of random weights is noise around the threshold.
            if isinstance(graph, PanopticGraph) and self.run.config.ckpt_path is not None:
                equal = equal_segments(made.run, network, graph, others)
                parity = replace(parity, instances=equal)
            if not wanted.int8:
                parity.check(export.parity, name=path.name)
        apart = None if wanted.carries else path.with_name(f"{path.name}.json")
        if apart is not None:
            write_json(apart, about.to_dict())
        score = None
        if self.measures:
            self.tell(f"measuring the accuracy of {path.name}")
            score = self._scored(labelled(made.run, graph))
        return Written(wanted.name, path, apart, parity, score)

    @cached_property
    def _grouping(self) -> Grouping | None:
        """What tells things apart; None where the network knows no instances."""
        return self.run.build_optional("method.task.grouping")

    def _graph(self, wanted: Format, name: str) -> Graph:
        network, output, grouping = self.network, self.export.output, self._grouping
        if grouping is not None and wanted.instances and output == "labels":
            things = (self.classes or self.data.classes).things
            return PanopticGraph(network, size=self.size, grouping=grouping, things=things)
        if grouping is not None:
            self.tell(f"{name} gets classes alone; instances are in formats=[onnx] output=labels")
        return Graph(network, size=self.size, output=output)

    def _about(self, wanted: Format, graph: Graph) -> Description:
        rows, columns = graph.places()
        checkpoint = self.run.config.ckpt_path
        return Description(
            classes=self.classes or self.data.classes,
            size=self.size,
            output=self.export.output,
            dtype=wanted.dtype,
            rows=tuple(rows),
            columns=tuple(columns),
            network=str(self.export.name or ""),
            iteration=None if checkpoint is None else iteration_of(checkpoint),
            int8=wanted.int8,
            stuff_area=graph.grouping.stuff_area if isinstance(graph, PanopticGraph) else None,
        )

    def _scored(self, labels: Callable[..., torch.Tensor]) -> Accuracy:
        made = partial(self.run.build_optional, "method.task.evaluator")
        evaluator = evaluator_of(made, self.data.classes, self.network)
        images = self.export.accuracy.images
        return accuracy(labels, self.data, size=self.size, evaluator=evaluator, images=images)


def _idle(chosen: Sequence[Format], measures: bool) -> dict[str, str]:
    """Keys that would change nothing, and why."""
    names, idle = _names(chosen), {}
    if not any(wanted.int8 for wanted in chosen):
        idle["calibration"] = f"formats=[{names}] are not calibrated, as onnx_int8 would be"
    if all(wanted.int8 for wanted in chosen):
        which = f"formats=[{names}] are compared, but kept whatever they answer"
        idle |= {f"parity.{name}": which for name in ("difference", "agreement")}
    if not any(wanted.name.startswith("onnx") for wanted in chosen):
        idle["opset"] = f"formats=[{names}] have none; it is of ONNX"
    if not measures:
        idle["accuracy.images"] = "no mIoU is measured; type accuracy.measure=true too"
    return idle


def _idle_of_instances(run: Run, chosen: Sequence[Format], output: Output) -> dict[str, str]:
    """Keys about instances that would change nothing, and why."""
    keys = ("parity.instances", "method.grouping", "method.task.grouping")
    if OmegaConf.select(run.config, "method.task.grouping") is None:
        return dict.fromkeys(keys, "the network gives classes alone")
    if output != "labels" or not any(wanted.instances for wanted in chosen):
        given = f"formats=[{_names(chosen)}] output={output} give classes alone"
        return dict.fromkeys(keys, f"{given}; instances are in formats=[onnx] output=labels")
    if run.config.ckpt_path is None:
        return {"parity.instances": "segments of random weights are not compared"}
    return {}


def _names(chosen: Sequence[Format]) -> str:
    return ", ".join(wanted.name for wanted in chosen)


def _check_heeded(typed: Sequence[str], idle: Mapping[str, str]) -> None:
    """Raises ConfigError for an override that would change nothing."""
    for override in typed:
        key = override.lstrip("+").partition("=")[0]
        for name, why in idle.items():
            if key == name or key.startswith(f"{name}."):
                raise ConfigError(f"{override} would change nothing: {why}")
