"""Counts parameters and multiply-adds of the experiments, for the listing that `--help` prints.

    python scripts/count_experiments.py                 # all: a few minutes on one core
    python scripts/count_experiments.py quickstart ...  # these, the others stay as they are

Writes segsuite/engine/launch/costs.yaml. A test holds the cheap ones to what is counted then.
"""

import sys

import yaml

from segsuite.bench.listing import listed
from segsuite.core.files import written_whole
from segsuite.engine.launch.help import COSTS, costs, options


def main(names: list[str]) -> None:
    """Counts the experiments of those names, or all."""
    known = options("experiment")
    counted = {name: cost for name, cost in costs().items() if name in known}
    for name in names or known:
        counted[name] = listed(name)
        print(name, counted[name], flush=True)
    lines = [
        f"{name}: {yaml.safe_dump(dict(counted[name]), default_flow_style=True, width=200)}"
        for name in sorted(counted)
    ]
    with written_whole(COSTS) as beside:
        beside.write_text("# Made by python scripts/count_experiments.py\n" + "".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
