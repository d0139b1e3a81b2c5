"""A search as it is typed: its supernet, images and folder."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from segsuite.core.checkpoint import read_checkpoint
from segsuite.core.errors import CheckpointError, ConfigError
from segsuite.core.hardware import device_of
from segsuite.core.seeding import seed_everything
from segsuite.data.module import HELD_OUT
from segsuite.engine.accuracy import evaluator_of
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch import record
from segsuite.engine.launch.rebuild import network_of
from segsuite.engine.launch.run import Run
from segsuite.engine.resuming import fingerprint, stored_samples
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.subnetworks import Subnetworks
from segsuite.methods.hyctas.supernet import Supernet
from segsuite.searching.archive import Archive
from segsuite.searching.search import ARCHIVE, SearchResult, write_genotypes


def searched(run: Run, *, tell: Callable[[str], None]) -> tuple[SearchResult, Path]:
    """What was found, and the folder of its genotypes.

    Raises:
        CheckpointError: the checkpoint is of no supernet.
        ConfigError: settings that do not fit, or an archive of another search.
    """
    cfg = run.config
    search = run.build("searcher")
    seed_everything(cfg.seed)
    data = run.build("data")
    network, _ = network_of(run, classes=data.classes)
    if not isinstance(network, Supernet):
        raise CheckpointError(
            f"{cfg.ckpt_path} holds a {type(network).__name__}, which has no sub-networks; give "
            "the checkpoint of a supernet, such as that of experiment=hyctas_supernet_camvid"
        )
    data.prepare_data()
    data.setup("fit")
    apart = fingerprint(data.samples(HELD_OUT))
    _check_apart(apart, str(cfg.ckpt_path))
    size = pair(cfg.size or cfg.data.crop_size)
    device: torch.device = device_of(cfg.device)
    measures = Subnetworks(
        supernet=network.to(device),
        data=data,
        evaluator=evaluator_of(partial(run.build_optional, "method.task.evaluator"), data.classes),
        size=size,
        norm_images=cfg.norm_images,
        scored_images=cfg.scored_images,
        batch_size=cfg.batch_size,
    )
    about = {
        "network": run.plain("method.network"),
        "supernet": _digest(Path(cfg.ckpt_path)),
        "images": [_digest_of(fingerprint(data.samples("train"))), _digest_of(apart)],
        "eval_transform": run.plain("data.eval_transform"),
        "evaluator": run.plain("method.task.evaluator"),
        "size": list(size),
        "norm_images": cfg.norm_images,
        "scored_images": cfg.scored_images,
        "batch_size": cfg.batch_size,
        "metrics": sorted(search.goals.metrics),
    }
    archive = Archive(Path(cfg.archive) if cfg.archive else run.folder / ARCHIVE, about)
    if changes := record.differences(run.folder, cfg):
        tell(f"this search was begun with other settings: {'; '.join(changes)}")
    record.write_start(run.folder, cfg)
    if len(archive):
        tell(f"going on with {len(archive)} architectures that were evaluated")
    result = search(measures, archive, tell=tell)
    folder = run.folder / "genotypes"
    write_genotypes(result, folder, f"{Genotype.__module__}.{Genotype.__name__}")
    return result, folder


def _check_apart(held_out: Tensor, path: str) -> None:
    """Raises ConfigError where the supernet was trained on images that candidates are scored on."""
    trained = stored_samples(read_checkpoint(path), Path(path)).get("train")
    if trained is None:
        return
    seen = {tuple(row) for row in trained.tolist()} & {tuple(row) for row in held_out.tolist()}
    if seen:
        raise ConfigError(
            f"{len(seen)} of {len(held_out)} held-out images are among those that {path} was "
            "trained on, so that scores would flatter; train the supernet with the same "
            "data.held_out"
        )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _digest_of(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]
