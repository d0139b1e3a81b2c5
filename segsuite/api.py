"""The suite from Python: the calls that a notebook needs, of the same code as the entry points.

    from segsuite import api

    result = api.train("experiment=quickstart", "trainer.max_steps=100")
    model = api.load(result.checkpoint)
    labels = api.predict(model, "street.jpg")

Calls are named as entry points and take what these take on a command line, one text for each
override. What cannot be right raises the sentence that the entry point would print, as a
`segsuite.core.errors.SegsuiteError`, mostly a `ConfigError`. Runs get folders of their own below
`paths.logs` (`logs/train/NAME/TIME`), with the files that entry points write there. In the place of
`--config-dir DIR` stands `hydra.searchpath=[file:///ABSOLUTE/DIR]`.

Importing this imports nothing heavy; the first call imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from numpy import integer
    from numpy.typing import NDArray
    from omegaconf import DictConfig
    from PIL import Image

    from segsuite.engine.inference.one_image import Given
    from segsuite.engine.inference.prediction import Predictor
    from segsuite.engine.launch.record import Result


def compose(entry_point: str, *overrides: str) -> "DictConfig":
    """The whole config that an entry point would run, to be looked at, changed and run.

        cfg = compose("train", "experiment=cts_vitt", "data=camvid", "data.root=/data/camvid")
        cfg.trainer.max_steps = 500
        result = train(cfg)

    Args:
        entry_point: `train`, `evaluate`, `benchmark`, `export`, ...

    Raises:
        ConfigError: there is no such entry point, or an override does not fit.
    """
    from segsuite.engine.launch.called import composed

    return composed(_main(entry_point), overrides)


def build(cfg: "DictConfig", key: str, **given: Any) -> Any:
    """The object that a config describes at a key, as entry points build their parts.

        network = build(cfg, "method.network")  # a plain torch.nn.Module, with random weights
        data = build(cfg, "data")  # a LightningDataModule

    Args:
        given: further arguments of its constructor, ready built.

    Raises:
        ConfigError: its arguments do not fit; the key is named.
    """
    from segsuite.engine.launch.run import Run

    return Run(cfg).build(key, **given)


def train(*given: "str | DictConfig") -> "Result":
    """Trains a network, as `python -m segsuite.train`, in this process and on one device.

        result = train("experiment=quickstart", "trainer.max_steps=100")
        result.metrics["test/miou"], result.checkpoint, result.folder

    Sets the seeds of Python, NumPy and torch to `seed` (0 unless it is typed) while it trains;
    their states are afterwards what they were before. Ctrl-C, or a notebook's button to interrupt,
    saves, says where, and raises KeyboardInterrupt; `resume=true` goes on.

    Args:
        given: overrides, or one config of `compose`.

    Returns:
        `metrics` by name (shares of 0 to 1), `checkpoint`, `folder`, `record` and `rows()`.

    Raises:
        ConfigError, DataError, CheckpointError: what was asked for does not fit.
        DivergedError: losses, gradients or weights are no longer finite.
    """
    from segsuite.engine.launch.called import called
    from segsuite.train import main, trained

    with called(main, given) as run:
        return trained(run)


def evaluate(checkpoint: "str | Path", *overrides: str) -> "Result":
    """Scores a checkpoint, as `python -m segsuite.evaluate`; prints a table of its classes.

        evaluate(result.checkpoint, "inference=slide").metrics["val/miou"]

    Raises:
        ConfigError, DataError, CheckpointError: what was asked for does not fit.
    """
    from segsuite.engine.launch.called import called
    from segsuite.evaluate import evaluated, main

    with called(main, [f"ckpt_path={checkpoint}", *overrides]) as run:
        return evaluated(run)


def export(checkpoint: "str | Path", *overrides: str) -> "Result":
    """Writes a network for another runtime, as `python -m segsuite.export`.

        files = export(result.checkpoint, "formats=[onnx,onnx_int8]", "size=[360,640]")
        {row["name"]: row["file"] for row in files.rows()}

    Raises:
        ConfigError, DataError, CheckpointError, ExportError: what was asked for does not fit, or
            the file answers otherwise than the network.
        MissingExtra: a runtime is not installed.
    """
    from rich.console import Console

    from segsuite.engine.launch.called import called
    from segsuite.export import exported, main

    with called(main, [f"ckpt_path={checkpoint}", *overrides]) as run:
        return exported(run, Console(quiet=True))[1]


def benchmark(*given: "str | DictConfig") -> "Result":
    """Compares what networks cost on this machine, as `python -m segsuite.benchmark`; all probes.

        found = benchmark("experiments=[segvit_vitt,cts_vitt]", "batch_sizes=[1]", "device=cpu")
        pandas.DataFrame(found.rows())  # a row for each network and batch size
        found.own["verdicts"]  # a sentence for each: how many times as fast as the first

    Times are in milliseconds (`labels_ms`: from images to labels), memory in 1e6 bytes, operations
    in 1e9 multiply-adds of one image. Tables are not printed; plots lie in the result's folder.

    Args:
        given: overrides, or one config of `compose`.

    Raises:
        ConfigError, CheckpointError: what was asked for does not fit.
    """
    from rich.console import Console

    from segsuite.benchmark import benchmarked, main
    from segsuite.engine.launch.called import called

    with called(main, given) as run:
        return benchmarked(run, Console(quiet=True))[1]


def load(checkpoint: "str | Path", *overrides: str, device: str = "auto") -> "Predictor":
    """The network of a checkpoint, or of an exported ONNX file, as `python -m segsuite.predict`
    loads it: ready to predict.

        model = load("logs/train/quickstart/.../checkpoints/best.ckpt", "inference=slide")
        model.network  # the torch.nn.Module in evaluation mode; an ONNX file has none
        model.classes.names, model.classes.colors

    Args:
        overrides: of its config, such as `inference=slide` or `method.pruning.mode=static`.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`; of an ONNX file the CPU.

    Raises:
        CheckpointError: the file is unreadable, or not of a network that segments.
        ConfigError: an override does not fit.
        MissingExtra: it is an ONNX file, and ONNX Runtime is not installed.
    """
    from segsuite.engine.inference.prediction import loaded
    from segsuite.engine.launch.called import called
    from segsuite.predict import main

    with called(main, [f"ckpt_path={checkpoint}", f"device={device}", *overrides]) as run:
        return loaded(run)


def predict(model: "Predictor", image: "Given") -> "NDArray[integer]":
    """The class number of each pixel: (H, W), at the image's own size, uint8, int16 or int32.

        labels = predict(model, "street.jpg")
        names = [model.classes.names[number] for number in numpy.unique(labels)]
        model.classes.raw(labels)  # the ids that the data set's own files hold

    Args:
        model: what `load` gave.
        image: a path; a PIL image; an array (H, W, 3) RGB or (H, W) grey, uint8; or a tensor
            (3, H, W), uint8.

    Raises:
        ConfigError: the image is something else.
        DataError: the file cannot be decoded.
    """
    from segsuite.engine.inference.one_image import labels_of

    return labels_of(image, model)


def segments(model: "Predictor", image: "Given") -> "tuple[NDArray[integer], NDArray[integer]]":
    """What a panoptic network says: the class and the instance of each pixel, both (H, W).

        labels, instances = segments(model, "street.jpg")
        overlay(model, "street.jpg", labels, instances=instances)

    Class numbers are -1 for void; ids of instances are int32, class * 1000 + number, 0 where there
    is none. What counts as an instance is an override of `load`: `method.grouping.threshold=0.3`.

    Args:
        model: what `load` gave.
        image: as of `predict`.

    Raises:
        ConfigError: the network tells no things apart, or the image is something else.
        DataError: the file cannot be decoded.
    """
    from segsuite.engine.inference.one_image import segments_of

    return segments_of(image, model)


def overlay(
    model: "Predictor",
    image: "Given",
    labels: Any,
    *,
    instances: Any = None,
    opacity: float = 0.5,
    legend: bool = True,
) -> "Image.Image":
    """The image under the colours of its labels, with a legend below: the last line of a cell.

    Args:
        labels: (H, W) class numbers of the image's size; negative ones show the image.
        instances: (H, W) ids between which white lines are drawn.
        opacity: of the colours, from 0 to 1.

    Raises:
        ConfigError: labels or instances of another size than the image's.
    """
    from segsuite.engine.inference.one_image import picture_of

    kind = {"instances": instances, "opacity": opacity, "legend": legend}
    return picture_of(image, labels, model, **kind)


def records(*paths: "str | Path") -> list[dict[str, Any]]:
    """What runs have found, as a table: one flat row for each network, file or job.

        pandas.DataFrame(records("logs/train", "logs/benchmark"))

    Columns: `kind`, `run`, `name`; settings, or else what was typed; metrics, and bounds as
    `NAME.low` and `NAME.high`; files; `machine`, `threads`, `commit`, and the `record`'s own file.
    A file that holds no record is left out, and a warning says so.

    Args:
        paths: folders, with all runs anywhere below them, and files `result.json` or `sweep.json`.

    Raises:
        ConfigError: one of them is not there.
    """
    from segsuite.core.records import found, rows

    return [row for path, record in found(*paths) for row in rows(record, path)]


def _main(entry_point: str) -> Any:
    from segsuite.core.config import CONF
    from segsuite.core.errors import ConfigError, did_you_mean

    known = [path.stem for path in CONF.glob("*.yaml")]
    if entry_point not in known:
        raise ConfigError(
            f"there is no entry point {entry_point}{did_you_mean(entry_point, known)}"
        )
    return import_module(f"segsuite.{entry_point}").main
