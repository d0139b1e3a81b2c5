"""A checkpoint of the original SegViT v1 or DToP becomes one of ours.

    python scripts/import_segvit.py iter_160000.pth segvit_vitb.ckpt \\
        experiment=segvit_vitb method/head=atm_cascade
    python scripts/import_segvit.py iter_40000.pth dtop_vitb.ckpt experiment=dtop_vitb \\
        'method.mean=[123.675,116.28,103.53]' 'method.std=[58.395,57.12,57.375]'

After the two files come overrides as segsuite.train takes them: they must describe the network in
the file. DToP's ViT-B was trained with ImageNet's mean and std (above), all others with 127.5.
What comes out is read by segsuite.evaluate, predict, benchmark (checkpoints=[FILE]) and by
init_from=FILE of segsuite.train. A policy for token sharing is in none of the files: give a trained
one by method.sharing.policy=FILE.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from segsuite.core.build import build
from segsuite.core.checkpoint import save_checkpoint
from segsuite.core.errors import CheckpointError, ConfigError, exit_code
from segsuite.data.class_table import ClassTable
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import as_checkpoint
from segsuite.methods.segvit.import_mmseg import load_segvit
from segsuite.nn.segmenter import Segmenter


def imported(source: Path, target: Path, overrides: Sequence[str]) -> str:
    """Writes the checkpoint `target`; a line that says what was loaded.

    Raises:
        ConfigError: an override that does not fit, or a policy that would be untrained.
        CheckpointError: `source` is absent, or not the network that the overrides describe.
    """
    if not source.is_file():
        raise CheckpointError(f"no file {source}; give a checkpoint of mmsegmentation")
    cfg = compose("train", [*overrides, "method.backbone.weights=none"])
    network = build(cfg.method.network, path="method.network")
    report = load_segvit(network, source)
    _give_policy(network)
    save_checkpoint(as_checkpoint(cfg, network, _classes(cfg)), target)
    return report


def _give_policy(network: Segmenter) -> None:
    if getattr(network.sharing, "joint", False):
        raise ConfigError(
            "method.sharing.policy=joint, but the file holds no policy and nothing is trained "
            "here; type method.sharing.policy=FILE, or method/sharing=none"
        )
    if network.sharing is not None:
        network.sharing.load_initial_weights()


def _classes(cfg: DictConfig) -> ClassTable:
    if cfg.data.classes is not None:
        return ClassTable.load(cfg.data.classes)
    return build(cfg.data.reader, path="data.reader").own_classes


def main() -> int:
    """The exit code; what went wrong is one paragraph on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the original's .pth")
    parser.add_argument("target", type=Path, help="the .ckpt to write")
    parser.add_argument("overrides", nargs="+", help="experiment=NAME and further ones")
    given = parser.parse_args()

    def work() -> None:
        print(imported(given.source, given.target, given.overrides))
        print(f"wrote {given.target}")

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
