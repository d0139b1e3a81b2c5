"""What a search leaves: genotypes to retrain, checkpoints with the supernet's weights, drawings."""

import torch
from omegaconf import OmegaConf, open_dict

from segsuite.core.checkpoint import save_checkpoint
from segsuite.data.class_table import ClassTable
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint
from segsuite.engine.launch.run import Run
from segsuite.methods.hyctas.drawing import save_drawing
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.subnetworks import Subnetworks
from segsuite.searching.archive import key_of
from segsuite.searching.result import SearchResult, write_genotypes

TARGET = f"{Genotype.__module__}.{Genotype.__name__}"
_OF_BOTH = ("head", "gate", "mean", "std")
"""Settings of a supernet that its sub-networks have too."""


def write_found(
    result: SearchResult, run: Run, measures: Subnetworks, classes: ClassTable
) -> dict[str, str]:
    """Writes into the run's folder; where to, by what it is."""
    folder = run.folder
    write_genotypes(result, folder / "genotypes", TARGET)
    weights = folder / "weights"
    weights.mkdir(exist_ok=True)
    genotypes = {entry["key"]: Genotype(**entry["architecture"]) for entry in result.best}
    named = {name: entry["key"] for name, entry in result.chosen().items()}
    for key, genotype in genotypes.items():
        checkpoint = _checkpoint(run, measures, genotype, classes)
        for name in (key, *(name for name, own in named.items() if own == key)):
            save_checkpoint(checkpoint, weights / f"{name}.ckpt")
    written = {"genotypes": str(folder / "genotypes"), "weights": str(weights)}
    if genotypes:
        shown = named or {key: key for key in list(genotypes)[:3]}
        path = folder / "architectures.png"
        save_drawing({f"{name}: {key}": genotypes[key] for name, key in shown.items()}, path)
        written["drawing"] = str(path)
    return written


def _checkpoint(run: Run, measures: Subnetworks, genotype: Genotype, classes: ClassTable) -> dict:
    """A sub-network as if it had been trained by itself, for every entry point to read."""
    network = measures.calibrated(genotype).to("cpu")
    cfg = compose("train", ["method=hyctas"])
    with open_dict(cfg):
        cfg.name = key_of(genotype.to_dict())
        for key in ("data", "inference", "seed"):
            cfg[key] = run.config[key]
        for key in _OF_BOTH:
            cfg.method[key] = run.config.method[key]
        cfg.method.auxiliary_heads = "none"
        cfg.method.genotype = OmegaConf.create({"_target_": TARGET, **genotype.to_dict()})
    with torch.no_grad():
        return as_checkpoint(cfg, network, classes)
