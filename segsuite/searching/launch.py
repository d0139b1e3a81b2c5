"""A search as it is typed: its supernet, images and folder."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.hardware import device_of
from segsuite.core.seeding import seed_everything
from segsuite.core.sizes import Size
from segsuite.data.module import HELD_OUT
from segsuite.engine.inference.candidates import check_experiments
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch import record
from segsuite.engine.launch.rebuild import network_of
from segsuite.engine.launch.run import Run
from segsuite.engine.resuming import fingerprint
from segsuite.methods.hyctas.subnetworks import Subnetworks
from segsuite.searching.archive import Archive
from segsuite.searching.latency.model import LatencyModel
from segsuite.searching.objectives import HIGHER, LATENCY, MEMORY, Goals
from segsuite.searching.peers import costs_of
from segsuite.searching.printed import with_printed
from segsuite.searching.progress import Progress
from segsuite.searching.result import ARCHIVE, SearchResult
from segsuite.searching.strategies import needed_pareto
from segsuite.searching.supernets import measures_of
from segsuite.searching.written import write_found

Tell = Callable[[str], None]

_DRAWN, _DRAWN_FOR_MEMORY = 1000, 30
"""Networks at random that hypervolumes refer to; their memory takes a third of a second each."""


def searched(run: Run, *, tell: Tell) -> tuple[SearchResult, dict[str, str]]:
    """What was found, and where it was written.

    Raises:
        CheckpointError: the checkpoint is of no supernet.
        ConfigError: settings that do not fit, or an archive or a table of another search.
    """
    cfg = run.config
    needed_pareto()  # before anything is loaded
    search = run.build("searcher")
    _check_latency(run, search.goals)
    check_experiments("baselines", cfg.baselines)  # they are measured after the first candidates
    seed_everything(cfg.seed)
    data = run.build("data")
    network, _ = network_of(run, classes=data.classes)
    size = pair(cfg.size or cfg.data.crop_size)
    measures = measures_of(
        network,
        data,
        source=str(cfg.ckpt_path),
        size=size,
        device=device_of(cfg.device),
        evaluator=run.build_optional,
        norm_images=cfg.norm_images,
        scored_images=cfg.scored_images,
        batch_size=cfg.batch_size,
    )
    path = Path(cfg.archive) if cfg.archive else run.folder / ARCHIVE
    with closing(Archive(path, _about(run, data, size, measures, search.goals))) as archive:
        if changes := record.differences(run.folder, cfg):
            tell(f"this search was begun with other settings: {'; '.join(changes)}")
        record.write_start(run.folder, cfg)
        if len(archive):
            tell(f"going on with {len(archive)} architectures that were evaluated")
            if failed := sum("failed" in entry for entry in archive):
                tell(f"{failed} of them failed then, and are not tried again")
        tell(_begun(run, data, size))
        latency = _latency(run, measures, search.goals, archive, tell)
        reference = _reference(measures, latency, search.goals)

        def baselines() -> dict[str, dict[str, float]]:
            kind = {"allow": list(cfg.allow), "latency": latency, "tell": tell}
            measured = costs_of(list(cfg.baselines), search.goals.minimised, size, **kind)
            return with_printed(measured, search.goals.minimised, size=size, classes=data.classes)

        progress = Progress(run.folder, reference, baselines)
        told: list[str] = []

        def grown(grown_so_far: SearchResult) -> None:
            told.append(progress(grown_so_far))
            tell(told[-1])

        result = search(measures, archive, latency=latency, tell=tell, grown=grown)
    if (last := progress(result)) not in told[-1:]:
        tell(last)
    return result, write_found(result, run, measures, data.classes)


def _begun(run: Run, data: Any, size: Size) -> str:
    """Where it writes, how long it is, and on what."""
    cfg = run.config
    of = {"train": cfg.norm_images, HELD_OUT: cfg.scored_images}
    norms, scored = (min(count, len(data.samples(split))) for split, count in of.items())
    return (
        f"writes to {run.folder}; {cfg.evaluations} evaluations at {size[0]}x{size[1]}: {norms} "
        f"training images for batch norms, {scored} held out for scores"
    )


def _about(run: Run, data: Any, size: Size, measures: Subnetworks, goals: Goals) -> dict[str, Any]:
    """What the answers in an archive depend on."""
    cfg = run.config
    kind: dict[str, Any] = {}
    if measures.device.type != "cpu":
        kind["device"] = measures.device.type
    if LATENCY in goals.metrics:
        table = cfg.latency.table
        kind["latency_table"] = _digest(Path(table)) if table and Path(table).exists() else None
    return {
        "network": run.plain("method.network"),
        "supernet": _digest(Path(cfg.ckpt_path)),
        "images": [_digest_of(fingerprint(data.samples(part))) for part in ("train", HELD_OUT)],
        "eval_transform": run.plain("data.eval_transform"),
        "evaluator": run.plain("method.task.evaluator"),
        "size": list(size),
        "norm_images": cfg.norm_images,
        "scored_images": cfg.scored_images,
        "batch_size": cfg.batch_size,
        "metrics": sorted(goals.metrics),
        **kind,
    }


def _check_latency(run: Run, goals: Goals) -> None:
    """Raises ConfigError for settings of a latency that is not wanted."""
    typed = [t for t in run.typed if t.lstrip("+").startswith(("latency.", "runtime", "latency="))]
    if typed and LATENCY not in goals.metrics:
        raise ConfigError(
            f"{typed[0]} would change nothing, since latency is neither an objective nor a limit; "
            "type objectives=[miou,latency], or limits.latency=MILLISECONDS"
        )
    if LATENCY in goals.metrics and run.config.archive and not run.config.latency.table:
        raise ConfigError(
            "archive=FILE with latencies needs one table for all searches that share it; make it "
            "by python -m segsuite.benchmark probe=latency_table checkpoints=[SUPERNET], and type "
            "latency.table=FILE"
        )


def _latency(
    run: Run, measures: Subnetworks, goals: Goals, archive: Archive, tell: Tell
) -> LatencyModel | None:
    """What tells latencies, if any are wanted."""
    if LATENCY not in goals.metrics:
        return None
    source = run.build("latency")
    if source.path is None:
        archive.begin()  # a measurement that is killed is gone on with
    table = source(measures.pieces, run.folder, tell=tell)
    about = ", ".join(f"{name} {value}" for name, value in table.about.items())
    tell(
        f"latencies of {about}; {table.error_text} (probe=latency_table tells how well they rank "
        "networks)"
    )
    return LatencyModel(table, measures.pieces, source.runtime, rounds=source.rounds)


def _reference(
    measures: Subnetworks, latency: LatencyModel | None, goals: Goals
) -> Mapping[str, float]:
    """A mIoU of 0 at a tenth more than the most that networks at random cost.

    The widest network is not the costliest: one that halves its resolution later costs more.
    """
    generator, most = np.random.default_rng(0), dict.fromkeys(goals.minimised, 0.0)
    for number in range(_DRAWN):
        genotype = measures.pieces.random(generator)
        names = [n for n in most if n != LATENCY and (n != MEMORY or number < _DRAWN_FOR_MEMORY)]
        known = measures.cheap(genotype, names)
        if latency is not None:
            known[LATENCY] = latency.estimate(genotype).value
        most = {name: max(value, known.get(name, 0.0)) for name, value in most.items()}
    return {name: 1.1 * value for name, value in most.items()} | dict.fromkeys(HIGHER, 0.0)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _digest_of(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]
