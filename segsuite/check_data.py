"""Looks at a data set before anything is trained on it.

    python -m segsuite.check_data data=camvid data.root=../shared/data/camvid

Reports sizes, pixels by class, ids out of range, pairs that are missing, classes that are absent
and median-frequency class weights, which a loss can be given; draws a preview; ends with one line
of JSON. Exits with 1 when something is missing or wrong, or nothing can be learnt from it.
"""

import json
import sys

from omegaconf import DictConfig

from segsuite.engine.launch.entry_point import entry_point


@entry_point("check_data")
def main(cfg: DictConfig) -> None:
    """Looks at a data set before anything is trained on it."""
    from segsuite.core.files import write_json
    from segsuite.engine.launch.run import Run

    run = Run(cfg)
    check = run.build("check")
    summary = check(run.build("data"), run.folder)
    write_json(run.folder / "result.json", summary)
    print(json.dumps(summary))
    if not all(split["ok"] for split in summary.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
