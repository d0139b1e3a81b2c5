"""Looks at a data set before anything is trained on it.

    python -m segsuite.check_data data=camvid data.root=../shared/data/camvid

Reports sizes, pixels by class, ids out of range, pairs that are missing, classes that are absent
and median-frequency class weights, which a loss can be given; draws a preview; ends with one line
of JSON. Exits with 1 when something is missing or wrong, or nothing can be learnt from it.
"""

import json
import sys
from typing import Annotated

from omegaconf import DictConfig

from segsuite.core.hints import Between
from segsuite.engine.launch.entry_point import entry_point


@entry_point("check_data")
def main(cfg: DictConfig) -> None:
    """Looks at a data set before anything is trained on it."""
    from segsuite.core.files import write_json
    from segsuite.data.checks.inspection import report
    from segsuite.data.checks.occurrence import faults_of
    from segsuite.data.checks.preview import write_preview, write_table, write_weights
    from segsuite.data.readers.splits import warn_of_shared
    from segsuite.engine.launch.run import Run
    from segsuite.engine.launch.settings import check_values

    some, many = Annotated[int, Between(1)], Annotated[int, Between(0)]
    check_values(cfg, {"splits": list[str] | None, "drawn": some, "images": many})
    run = Run(cfg)
    data, folder = run.build("data"), run.folder
    splits = cfg.splits or dict.fromkeys(["train", "val", data.test_split])
    # All of them first: what is refused leaves nothing behind.
    opened = {split: data.open(split, strict=False) for split in splits}
    reports, previews = {}, {}
    for split, samples in opened.items():
        checked = report(split, samples, data.classes, drawn=cfg.drawn, folder=data.verify_dir)
        write_table(checked, data.classes)
        previews[split] = write_preview(
            samples, data.classes, folder / f"{split}.png", count=cfg.images, split=split
        )
        reports[split] = checked
        warn_of_shared(opened, split)
    wrong = faults_of([checked.occurrence for checked in reports.values()], data.classes)
    for sentence in dict.fromkeys(wrong.values()):
        print(f"wrong: {sentence}")
    write_weights(reports, folder / "class_weights.json")
    summary = {
        split: checked.summary(data.classes, wrong=wrong.get(split))
        | {"preview": str(previews[split])}
        for split, checked in reports.items()
    }
    write_json(folder / "result.json", summary)
    print(json.dumps(summary))
    if not all(split["ok"] for split in summary.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
