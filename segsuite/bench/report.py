"""A comparison in plain numbers, for files and for the last line of output."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segsuite.bench.measurement import Measurement, Speed
from segsuite.core.results import Entry, Metric
from segsuite.core.sizes import Size
from segsuite.measure.cost import GIGA
from segsuite.measure.tokens import to_dicts
from segsuite.measure.verdict import verdict


def to_dict(measured: Measurement, *, parts: bool = True) -> dict[str, Any]:
    """One network, or an exported file without what is counted; costs for one image in 1e9."""
    scored = measured.accuracy
    result: dict[str, Any] = {
        "trained": measured.trained,
        "num_classes": measured.num_classes,
        **({} if measured.is_file else _counted(measured)),
        (scored.metric if scored else "miou"): scored and scored.to_dict(),
        "batch": {str(batch): _speed(speed) for batch, speed in measured.speed.items()},
    }
    if parts:
        result["parts"] = [part.to_dict() for part in measured.parts]
    return result


def _counted(measured: Measurement) -> dict[str, Any]:
    form, paper = measured.closed_form, measured.published
    return {
        "parameters": measured.parameters,
        "parameters_of_policy": measured.parameters_excluded,
        "gmacs": measured.everything.gmacs,
        "gmacs_without_policy": measured.as_published.gmacs,
        "gmacs_closed_form_without_policy": None if form is None else form.gmacs,
        "gmacs_spread": measured.spread / GIGA,
        "gflops_fvcore_without_policy": measured.as_published.gfvcore,
        "paper": None if paper is None else vars(paper) | {"ours_times": measured.beside_paper},
        "tokens": None if measured.tokens is None else to_dicts(measured.tokens),
    }


def entry(
    measured: Measurement, batch: int, *, size: Size, precision: str = "fp32", compile: bool = False
) -> Entry:
    """One candidate at one batch size, for the record of results; what was measured of it."""
    speed, scored = measured.speed[batch], measured.accuracy
    metrics = {
        "labels_ms": speed.labels.metric,
        "labels_times_as_fast": speed.labels_ratio.metric,
    }
    if not measured.is_file:
        metrics |= {
            "parameters": Metric(value=measured.parameters),
            "gmacs": Metric(value=measured.everything.gmacs),
            "network_ms": speed.network.metric,
            "peak_megabytes": Metric(value=speed.peak / 1e6),
        }
    if speed.network_ratio is not None:
        metrics["network_times_as_fast"] = speed.network_ratio.metric
    if scored is not None:
        metrics[f"val/{scored.metric}"] = Metric(value=scored.value)
    own = {}
    if measured.tokens is not None:
        without = measured.as_published.gmacs
        own[measured.family] = {
            "tokens": to_dicts(measured.tokens),
            "gmacs_without_policy": without,
        }
    kind = "file" if measured.is_file else "checkpoint"
    files = {} if measured.path is None else {kind: str(Path(measured.path).resolve())}
    settings = {"batch": batch, "size": list(size), "trained": measured.trained}
    if not measured.is_file:
        settings |= {"precision": precision, "compile": compile}
    return Entry(name=measured.name, metrics=metrics, settings=settings, artefacts=files, own=own)


def verdicts(measured: Sequence[Measurement]) -> list[str]:
    """One sentence per candidate but the first, for the network alone and with labels.

    Beside or of an exported file there are labels alone.
    """
    baseline = measured[0].name
    lines = []
    for other in measured[1:]:
        alone = {b: s.network_ratio for b, s in other.speed.items() if s.network_ratio is not None}
        whole = {batch: speed.labels_ratio for batch, speed in other.speed.items()}
        if alone:
            lines.append(verdict(other.name, baseline, alone))
        lines.append(verdict(f"{other.name} with labels", baseline, whole))
    return lines


def notes(measured: Sequence[Measurement]) -> list[str]:
    """What a reader must know to not misread the figures."""
    remarks = []
    counts = list(dict.fromkeys(measurement.num_classes for measurement in measured))
    if len(counts) > 1:
        remarks.append(
            f"the networks tell {', '.join(map(str, counts[:-1]))} and {counts[-1]} classes apart, "
            "so that their costs are of different tasks; data=NAME builds all experiments for one"
        )
    files = [measurement.name for measurement in measured if measurement.is_file]
    if files:
        remarks.append(
            f"{', '.join(files)}: run by ONNX Runtime as exported, one image after another "
            "whatever the batch size, and scored by the nearest pixel where labels have another "
            "size; precision and compile are of networks, and nothing is counted in a file"
        )
    grouped = [measurement.name for measurement in measured if measurement.to_segments]
    if grouped:
        remarks.append(
            f"{', '.join(grouped)}: with labels means with segments, centres and the pixels that "
            "join them included"
            + ("" if len(grouped) == len(measured) else "; the others tell no things apart")
        )
    for measurement in measured:
        if measurement.is_another:
            remarks.append(
                f"{measurement.name}: {measurement.as_published.gfvcore:.1f} as fvcore counts, "
                f"where the paper prints {measurement.published.gflops:g}: not the paper's "
                f"network, or not as many tokens left ({measurement.published.differs})"
            )
        stages = measurement.tokens or []
        if not measurement.trained and len(stages) > 1 and stages[-1].least == stages[0].most:
            remarks.append(
                f"{measurement.name}: no token left at any exit. With random weights a threshold "
                "says nothing of what a trained network drops; give checkpoints=[FILE], or fixed "
                "budgets"
            )
        if any(round(s.computed) > round(s.mean) for s in stages):
            remarks.append(
                f"{measurement.name}: tokens that left are masked but still computed, which saves "
                "nothing"
            )
    return remarks


def _speed(speed: Speed) -> Mapping[str, Any]:
    network = speed.network and speed.network.to_dict()
    if speed.network_ratio is not None:
        network |= {"times_as_fast": speed.network_ratio.to_dict()}
    return {
        "network": network,
        "with_labels": speed.labels.to_dict() | {"times_as_fast": speed.labels_ratio.to_dict()},
        "peak_megabytes": None if speed.peak is None else speed.peak / 1e6,
    }
