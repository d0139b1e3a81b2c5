"""An architecture of the released HyCTAS code becomes a genotype of ours.

    python scripts/import_hyctas.py HRTNET_S.json conf/method/genotype/hyctas/mine.yaml 6 8
    python -m segsuite.train experiment=hyctas_s_cityscapes method/genotype=mine

After the two files: the filter multiplier, and the twelfths of the full width of stem and head,
which such files do not hold. S, M and L of the paper come with the suite (method/genotype=s, m, l).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from segsuite.core.errors import ConfigError, exit_code
from segsuite.core.files import written_whole
from segsuite.methods.hyctas.released import from_released


def imported(source: Path, target: Path, *, filters: int, ends: int) -> str:
    """Writes the YAML file `target`; a line that says what it is.

    Raises:
        OSError: `source` cannot be read.
        ConfigError: it holds something else.
    """
    try:
        plain = json.loads(source.read_text())
    except ValueError as error:
        raise ConfigError(f"{source} cannot be read as JSON: {error}") from error
    genotype = from_released(plain, filters=filters, ends=ends)
    node = {"_target_": "segsuite.methods.hyctas.genotype.Genotype", **genotype.to_dict()}
    with written_whole(target) as beside:
        Path(beside).write_text(yaml.safe_dump(node, sort_keys=False, default_flow_style=None))
    return f"{target}: {genotype}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what went wrong is one paragraph on stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the released .json")
    parser.add_argument("target", type=Path, help="the .yaml to write")
    parser.add_argument("filters", type=int, help="the filter multiplier")
    parser.add_argument("ends", type=int, help="twelfths of the full width of stem and head")
    given = parser.parse_args(arguments)

    def work() -> None:
        print(imported(given.source, given.target, filters=given.filters, ends=given.ends))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
