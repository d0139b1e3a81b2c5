"""Looks at a data set before anything is trained on it.

    python -m segsuite.check_data data=camvid data.root=../shared/data/camvid

Reports sizes, pixels by class, ids out of range, pairs that are missing, classes that are absent
and median-frequency class weights; draws a preview; ends with one line of JSON. Exits with 1 when
something is missing or wrong.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig

from segsuite.core.hints import Between
from segsuite.engine.launch import door


@door("check_data")
def main(cfg: DictConfig) -> None:
    """Looks at a data set before anything is trained on it."""
    from segsuite.core.build import build
    from segsuite.core.files import write_json
    from segsuite.core.targets import trusted
    from segsuite.data.inspection import report
    from segsuite.data.preview import write_preview, write_table
    from segsuite.engine.settings import check_values

    some, many = Annotated[int, Between(1)], Annotated[int, Between(0)]
    check_values(cfg, {"splits": list[str], "drawn": some, "pictures": many})
    data = build(cfg.data, path="data", allow=trusted(cfg))
    folder = Path(cfg.run.folder)
    summary = {}
    # All of them first: what is refused leaves nothing behind.
    opened = {split: data.open(split, strict=False) for split in cfg.splits}
    for split, samples in opened.items():
        figures = report(split, samples, data.classes, drawn=cfg.drawn, folder=data.verify_dir)
        write_table(figures, data.classes)
        picture = write_preview(
            samples, data.classes, folder / f"{split}.png", count=cfg.pictures, split=split
        )
        summary[split] = {**figures.summary(data.classes), "preview": str(picture)}
    write_json(folder / "result.json", summary)
    print(json.dumps(summary))
    if not all(split["ok"] for split in summary.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
