"""A look at whole splits before anything is trained on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from segsuite.core.hints import Between, Count
from segsuite.data.checks.inspection import report
from segsuite.data.checks.occurrence import faults_of
from segsuite.data.checks.preview import write_preview, write_table, write_weights
from segsuite.data.readers.splits import warn_of_shared


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """Prints what splits hold and what is wrong with them; draws previews, writes class weights.

    Attributes:
        splits: names of the splits; None for those of training, validation and test.
        drawn: how many samples are looked at of data that are drawn.
        images: how many images are in the preview of each split.
    """

    splits: Sequence[str] | None = None
    drawn: Count = 100
    images: Annotated[int, Between(0)] = 4

    def __call__(self, data: Any, folder: Path) -> dict[str, dict[str, Any]]:
        """A summary of each split, whose `ok` says whether it can be trained on.

        Args:
            data: the data module.
            folder: where previews and class_weights.json go.

        Raises:
            DataError: there is no such split, or no file of it can be found.
        """
        splits = self.splits or dict.fromkeys(["train", "val", data.test_split])
        # All of them first: what is refused leaves nothing behind.
        opened = {split: data.open(split, strict=False) for split in splits}
        reports = {}
        for split, samples in opened.items():
            checked = report(split, samples, data.classes, drawn=self.drawn, folder=data.verify_dir)
            write_table(checked, data.classes)
            path = folder / f"{split}.png"
            write_preview(samples, data.classes, path, count=self.images, split=split)
            reports[split] = checked
            warn_of_shared(opened, split)
        wrong = faults_of([checked.occurrence for checked in reports.values()], data.classes)
        for sentence in dict.fromkeys(wrong.values()):
            print(f"wrong: {sentence}")
        write_weights(reports, folder / "class_weights.json")
        return {
            split: checked.summary(data.classes, wrong=wrong.get(split))
            | {"preview": str(folder / f"{split}.png")}
            for split, checked in reports.items()
        }
