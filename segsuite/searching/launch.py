"""A search as it is typed: its supernet, images and folder."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from segsuite.core.errors import ConfigError
from segsuite.core.hardware import device_of
from segsuite.core.seeding import seed_everything
from segsuite.data.module import HELD_OUT
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch import record
from segsuite.engine.launch.rebuild import network_of
from segsuite.engine.launch.run import Run
from segsuite.engine.resuming import fingerprint
from segsuite.methods.hyctas.subnetworks import Subnetworks
from segsuite.searching.archive import Archive
from segsuite.searching.latency.model import LatencyModel
from segsuite.searching.objectives import CHEAP, HIGHER, LATENCY, Goals
from segsuite.searching.peers import costs_of
from segsuite.searching.progress import Progress
from segsuite.searching.result import ARCHIVE, SearchResult
from segsuite.searching.supernets import measures_of
from segsuite.searching.written import write_found

Tell = Callable[[str], None]


def searched(run: Run, *, tell: Tell) -> tuple[SearchResult, dict[str, str]]:
    """What was found, and where it was written.

    Raises:
        CheckpointError: the checkpoint is of no supernet.
        ConfigError: settings that do not fit, or an archive or a table of another search.
    """
    cfg = run.config
    search = run.build("searcher")
    _check_latency(run, search.goals)
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
    latency, table = _latency(run, measures, search.goals, tell)
    about = {
        "network": run.plain("method.network"),
        "supernet": _digest(Path(cfg.ckpt_path)),
        "images": [_digest_of(fingerprint(data.samples(part))) for part in ("train", HELD_OUT)],
        "eval_transform": run.plain("data.eval_transform"),
        "evaluator": run.plain("method.task.evaluator"),
        "size": list(size),
        "norm_images": cfg.norm_images,
        "scored_images": cfg.scored_images,
        "batch_size": cfg.batch_size,
        "metrics": sorted(search.goals.metrics),
        **({"latency_table": table} if table else {}),
    }
    archive = Archive(Path(cfg.archive) if cfg.archive else run.folder / ARCHIVE, about)
    if changes := record.differences(run.folder, cfg):
        tell(f"this search was begun with other settings: {'; '.join(changes)}")
    record.write_start(run.folder, cfg)
    if len(archive):
        tell(f"going on with {len(archive)} architectures that were evaluated")
    names = search.goals.costly
    progress = Progress(
        run.folder,
        _reference(measures, latency, search.goals),
        costs_of(list(cfg.beside), names, size, latency and latency.runtime, tell=tell),
    )
    result = search(
        measures,
        archive,
        latency=latency,
        tell=tell,
        grown=lambda grown: tell(progress(grown)),
    )
    tell(progress(result))
    return result, write_found(result, run, measures, data.classes)


def _check_latency(run: Run, goals: Goals) -> None:
    """Raises ConfigError for settings of a latency that is not wanted."""
    typed = [t for t in run.typed if t.lstrip("+").startswith(("latency.", "runtime", "latency="))]
    if typed and LATENCY not in goals.metrics:
        raise ConfigError(
            f"{typed[0]} would change nothing, since latency is neither an objective nor a limit; "
            "type objectives=[miou,latency], or limits.latency=MILLISECONDS"
        )


def _latency(
    run: Run, measures: Subnetworks, goals: Goals, tell: Tell
) -> tuple[LatencyModel | None, str | None]:
    """What tells latencies, if any are wanted, and a digest of its table."""
    if LATENCY not in goals.metrics:
        return None, None
    source = run.build("latency")
    table = source(measures.pieces, run.folder, tell=tell)
    tell(f"latencies of {table.about}; on other networks {table.error_text}")
    model = LatencyModel(table, measures.pieces, source.runtime, rounds=source.rounds)
    return model, table.digest


def _reference(
    measures: Subnetworks, latency: LatencyModel | None, goals: Goals
) -> Mapping[str, float]:
    """The largest network, and a mIoU of 0."""
    largest = measures.supernet.largest
    known = measures.cheap(largest, [name for name in goals.metrics if name in CHEAP])
    if latency is not None:
        known[LATENCY] = latency.estimate(largest).seconds
    return {**known, **dict.fromkeys(HIGHER, 0.0)}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _digest_of(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]
