"""The class embeddings of a checkpoint: a map as PNG, and the nearest classes as text.

python scripts/show_embeddings.py best.ckpt --of car
python scripts/show_embeddings.py best.ckpt --map embeddings.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from segsuite.core.checkpoint import network_from_checkpoint, read_checkpoint
from segsuite.core.errors import exit_code
from segsuite.engine.launch.rebuild import classes_of
from segsuite.methods.essnet.callbacks import class_vectors
from segsuite.methods.essnet.embedding_map import nearest_text, save_map


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what went wrong is one paragraph on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--of", help="one class; all of them unless given")
    parser.add_argument("--nearest", type=int, default=5, help="classes listed")
    parser.add_argument("--map", type=Path, help="a PNG file to write")
    given = parser.parse_args(arguments)
    return exit_code(
        lambda: show(given.checkpoint, of=given.of, nearest=given.nearest, image=given.map)
    )


def show(checkpoint: Path, *, of: str | None, nearest: int, image: Path | None) -> None:
    """Prints the nearest classes, of all unless one is named or only a map is wanted; draws it."""
    network, _ = network_from_checkpoint(checkpoint)
    classes = classes_of(read_checkpoint(checkpoint), checkpoint)
    table = class_vectors(network)
    if of is not None or image is None:
        print(nearest_text(table, classes.names, k=nearest, of=of))
    if image is not None:
        how = {"colors": classes.colors, "groups": classes.groups, "title": checkpoint.name}
        save_map(table, classes.names, image, **how)
        print(f"written: {image}")


if __name__ == "__main__":
    sys.exit(main())
