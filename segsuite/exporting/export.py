"""A whole export: from its config to files, each compared with the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from segsuite.core.build import build
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.files import remove_leftovers, write_json, written_whole
from segsuite.core.hints import Between, Share
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size
from segsuite.core.targets import trusted
from segsuite.data.class_table import ClassTable
from segsuite.engine.inference.accuracy import Accuracy, miou, percent, scored_on
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch.rebuild import check_same, iteration_of, network_of
from segsuite.engine.launch.settings import check_values
from segsuite.exporting.formats import Format, formats
from segsuite.exporting.graph import Graph, Output
from segsuite.exporting.images import calibration_images, other_images
from segsuite.exporting.parity import Parity, compared, labelled
from segsuite.nn.segmenter import Segmenter
from segsuite.runtime.description import Description


@dataclass(frozen=True)
class Written:
    """One file.

    Attributes:
        beside: what is known of the network, where the file itself cannot carry it.
        accuracy: mIoU on the validation split; None where it was not measured.
    """

    format: str
    path: Path
    beside: Path | None
    parity: Parity
    accuracy: Accuracy | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types; megabytes of 10^6."""
        return {
            "path": str(self.path.resolve()),
            "description": None if self.beside is None else str(self.beside.resolve()),
            "megabytes": self.path.stat().st_size / 1e6,
            "parity": self.parity.to_dict(),
            "miou": self.accuracy and self.accuracy.miou,
        }


@dataclass(frozen=True)
class Exported:
    """All files of one network.

    Attributes:
        accuracy: mIoU of the network itself, on the same images.
    """

    source: str
    trained: bool
    size: Size
    output: str
    files: list[Written]
    accuracy: Accuracy | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "source": self.source,
            "trained": self.trained,
            "size": list(self.size),
            "output": self.output,
            "miou": self.accuracy and self.accuracy.miou,
            "miou_of": self.accuracy and {"images": self.accuracy.images, "of": self.accuracy.of},
            "files": {file.format: file.to_dict() for file in self.files},
        }

    def show(self, console: Console) -> None:
        """Prints a row for each file."""
        height, width = self.size
        table = Table(
            title=f"{self.source}, {height}x{width}, {self.output}",
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("file", overflow="fold")
        for column in ("MB", "largest difference", "equal labels", "mIoU"):
            table.add_column(column, justify="right")
        if self.accuracy is not None:
            table.add_row("(the network)", "", "", "", percent(self.accuracy))
        for file in self.files:
            apart = file.parity.difference
            table.add_row(
                file.path.name,
                f"{file.path.stat().st_size / 1e6:.2f}",
                "–" if apart is None else f"{apart:.1e}",
                f"{100 * file.parity.agreement:.4f} %",
                percent(file.accuracy),
            )
        if self.accuracy is not None:
            table.caption = f"mIoU: {scored_on(self.accuracy, self.size)}"
        console.print(table)
        folder = self.files[0].path.parent
        console.print(f"written to {folder}", highlight=False, soft_wrap=True)
        if not self.trained:
            console.print("random weights: what int8 answers says nothing of a trained network")


class Export:
    """One export; what several formats need is made once.

    Raises:
        ConfigError: settings that do not fit; found before anything is exported.
    """

    def __init__(
        self, cfg: DictConfig, *, typed: Sequence[str], tell: Callable[[str], None]
    ) -> None:
        _check(cfg)
        self.cfg, self.tell = cfg, tell
        seed_everything(cfg.seed)
        torch.set_num_threads(cfg.threads)
        self.formats = formats(cfg.formats)
        self.network, self.trained, self._trained_for = _network(cfg)
        self.network.check_static()
        self.size = pair(cfg.size or cfg.data.crop_size)
        self.measures = _measures(cfg, self.formats, self.trained)
        _check_heeded(typed, self.formats, self.measures)
        for wanted in self.formats:
            wanted.check()

    @cached_property
    def data(self) -> Any:
        """The data set; with the classes that the network was trained for, if a mIoU is measured.

        Raises:
            CheckpointError: it has others.
        """
        data = build(self.cfg.data, path="data", allow=trusted(self.cfg))
        if self.measures and self._trained_for is not None:
            check_same(self._trained_for.names, data.classes.names, self.cfg.ckpt_path)
        elif self._is_other(data.classes) and any(wanted.int8 for wanted in self.formats):
            self.tell("int8 is calibrated with images of other classes than were trained")
        data.prepare_data()
        return data

    def _is_other(self, classes: ClassTable) -> bool:
        return self._trained_for is not None and self._trained_for.names != classes.names

    @property
    def classes(self) -> ClassTable:
        """Those that the network was trained for; the data set's for random weights."""
        return self.data.classes if self._trained_for is None else self._trained_for

    @cached_property
    def calibration(self) -> torch.Tensor:
        """Images that int8 is calibrated with."""
        asked = self.cfg.calibration
        return calibration_images(self.data, count=asked.images, least=asked.least, size=self.size)

    def __call__(self) -> Exported:
        cfg = self.cfg
        count = cfg.parity.images
        others = other_images(self.data, count=count, size=self.size)
        if any(wanted.int8 for wanted in self.formats):
            self.calibration.shape  # noqa: B018  found wanting before minutes of exporting
        folder = Path(cfg.output_folder or cfg.run.folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = [self._written(wanted, folder, others) for wanted in self.formats]
        score = None
        if self.measures:
            self.tell("measuring the network's own mIoU")
            score = self._miou(lambda image, size: self.network.predict(image).labels(size))
        source = str(cfg.ckpt_path or cfg.experiment)
        return Exported(source, self.trained, self.size, cfg.output, files, score)

    def _written(self, wanted: Format, folder: Path, others: torch.Tensor) -> Written:
        cfg = self.cfg
        path = folder / f"{cfg.name or 'network'}{wanted.suffix}"
        graph = Graph(self.network, size=self.size, output=cfg.output)
        replaced = f", in place of the {path.name} that is there" if path.exists() else ""
        self.tell(f"exporting {path.name}{replaced}")
        images = self.calibration if wanted.int8 else None
        remove_leftovers(folder)
        with written_whole(path) as beside:  # what is compared is the very file
            about = self._about(wanted, graph)
            kind = {"opset": cfg.opset, "threads": cfg.threads, "about": about}
            made = wanted.made(graph, beside, images, **kind)
            parity = compared(made.run, self.network, graph, others, scores_behind=made.scores)
            if not wanted.int8:
                limits = {key: cfg.parity[key] for key in ("difference", "agreement")}
                parity.check(**limits, name=path.name)
        apart = None if wanted.carries else path.with_name(f"{path.name}.json")
        if apart is not None:
            write_json(apart, about.to_dict())
        score = None
        if self.measures:
            self.tell(f"measuring the mIoU of {path.name}")
            score = self._miou(labelled(made.run, graph))
        return Written(wanted.name, path, apart, parity, score)

    def _about(self, wanted: Format, graph: Graph) -> Description:
        rows, columns = graph.places()
        return Description(
            classes=self.classes,
            size=self.size,
            output=self.cfg.output,
            dtype=wanted.dtype,
            rows=tuple(rows),
            columns=tuple(columns),
            network=str(self.cfg.name or ""),
            iteration=iteration_of(self.cfg.ckpt_path) if self.trained else None,
            int8=wanted.int8,
        )

    def _miou(self, labels: Callable[..., torch.Tensor]) -> Accuracy:
        return miou(
            labels,
            self.data,
            size=self.size,
            num_classes=self.network.num_classes,
            images=self.cfg.accuracy.images,
        )


def export(
    cfg: DictConfig,
    *,
    typed: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Writes the files that `conf/export.yaml` names.

    Args:
        typed: the overrides on the command line.

    Raises:
        ConfigError, CheckpointError, DataError: what was asked for does not fit together.
        ExportError: a runtime cannot take the network, or answers otherwise.
        MissingExtra: a runtime is not installed.
    """
    return Export(cfg, typed=typed, tell=tell)()


def _network(cfg: DictConfig) -> tuple[Segmenter, bool, ClassTable | None]:
    classes = None
    if cfg.ckpt_path is not None:
        network, classes = network_of(cfg)
    else:
        # Constructors fetch nothing: the weights stay random.
        network = build(cfg.method.network, path="method.network", allow=trusted(cfg)).eval()
    if not isinstance(network, Segmenter):
        raise CheckpointError(
            f"{cfg.ckpt_path or cfg.experiment} is a {type(network).__name__}, which segments "
            "nothing; give a network that does"
        )
    return network, cfg.ckpt_path is not None, classes


_Count = Annotated[int, Between(1)]
_KEYS = {
    "formats": Sequence[str],
    "size": tuple[_Count, _Count] | None,
    "output": Output,
    "opset": _Count,
    "threads": _Count,
}
_KEYS_OF = {
    "parity": {"images": _Count, "difference": float, "agreement": Share},
    "calibration": {"images": _Count, "least": _Count},
    "accuracy": {"measure": Literal["auto"] | bool, "images": _Count | None},
}


def _check(cfg: DictConfig) -> None:
    check_values(cfg, _KEYS)
    for part, keys in _KEYS_OF.items():
        check_values(cfg[part], keys, f"{part}.")


def _check_heeded(typed: Sequence[str], chosen: Sequence[Format], measures: bool) -> None:
    """Raises ConfigError for an override that would change nothing."""
    names = ", ".join(wanted.name for wanted in chosen)
    idle = {}
    if not any(wanted.int8 for wanted in chosen):
        idle["calibration"] = f"formats=[{names}] are not calibrated, as onnx_int8 would be"
    if all(wanted.int8 for wanted in chosen):
        which = f"formats=[{names}] are compared, but kept whatever they answer"
        idle |= {"parity.difference": which, "parity.agreement": which}
    if not any(wanted.name.startswith("onnx") for wanted in chosen):
        idle["opset"] = f"formats=[{names}] have none; it is of ONNX"
    if not measures:
        idle["accuracy.images"] = "no mIoU is measured; type accuracy.measure=true too"
    for override in typed:
        key = override.lstrip("+").partition("=")[0]
        for name, why in idle.items():
            if key == name or key.startswith(f"{name}."):
                raise ConfigError(f"{override} would change nothing: {why}")


def _measures(cfg: DictConfig, chosen: Sequence[Format], trained: bool) -> bool:
    if cfg.accuracy.measure == "auto":
        return trained and any(wanted.int8 for wanted in chosen)
    return bool(cfg.accuracy.measure)
