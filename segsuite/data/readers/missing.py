"""What readers say of data that are not there: the tree they expect, and where it comes from."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from segsuite.core.errors import DataError, first_of
from segsuite.data.readers.patterns import folder_of, names_below

_LOOKED_AT = 1000
"""Files whose names are compared with those of the images."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExpectedFiles:
    """What a reader expects below `data.root`.

    Attributes:
        trees: where the files of each split lie, as people read it: `images/train/*.jpg`.
        source: where the data come from; empty where that is not known.
    """

    trees: Mapping[str, Sequence[str]]
    source: str = ""

    def check(self, split: str, root: Path | None) -> None:
        """Raises DataError if there is no such split or no such folder."""
        if split not in self.trees:
            known = ", ".join(self.trees)
            raise DataError(f"there is no split `{split}`; data.reader.splits has {known}")
        if root is None or not root.is_dir():
            raise DataError(f"data.root={root} is not a folder. {self.told(root)}")

    def complain(self, split: str, gaps: Sequence[str], root: Path, *, strict: bool) -> None:
        """Raises DataError with the first gaps of a split if `strict`, else warns of them."""
        shown = first_of(gaps, "; ")
        if strict:
            raise DataError(
                f"split `{split}` is incomplete: {shown}. {self.told(root)} To leave out what "
                "does not fit, type data.strict=false"
            )
        logger.warning("split `%s` is incomplete (data.strict=false): %s", split, shown)

    def told(self, root: Path | None) -> str:
        """What should be where, where it comes from and what to type."""
        needed = [trees for split, trees in self.trees.items() if split != "test"]
        expected, test = _below(root, needed), _below(root, [self.trees.get("test", ())])
        if expected and test:
            expected += f"; where there is a test split, {test}"
        expected = expected or test
        source = f" They come from {self.source}." if self.source else ""
        return f"Expected {expected}.{source} Type data.root=FOLDER."


def _below(root: Path | None, trees: Sequence[Sequence[str]]) -> str:
    """Where files of these splits lie, each place once."""
    places = dict.fromkeys(tree for of_split in trees for tree in of_split)
    return ", ".join(f"{root or 'DATA.ROOT'}/{place}" for place in places)


def pattern_hint(masks: str, images: Collection[str], root: Path, folder: str) -> str:
    """Which pattern would find the masks of the images, when the one that is given finds none.

    Args:
        masks: the pattern of the masks.
        images: ids of the images.
        folder: what stands at `{split}`.
    """
    around: Counter[tuple[str, str]] = Counter()
    for name in islice(names_below(folder_of(masks, root, folder)), _LOOKED_AT):
        if (ends := _around_id(name, images)) is not None:
            around[ends] += 1
    if not around:
        return ""
    (begin, end), count = around.most_common(1)[0]
    top = masks.partition("{id}")[0].rpartition("/")
    better = f"{top[0]}{top[1]}{begin}{{id}}{end}"
    if end.lower() in (".jpg", ".jpeg"):
        return (
            f"{count} files of {folder_of(masks, root, folder)} end in {end}, but JPEG changes ids "
            "and colours at every edge; write the masks again as PNG from what they were made of"
        )
    begun = f"begin with {begin} and " if begin else ""
    return (
        f"no mask is called as data.reader.masks={masks} says, but {count} have the name of an "
        f"image, {begun}end in {end}; type 'data.reader.masks=\"{better}\"'"
    )


def _around_id(name: str, images: Collection[str]) -> tuple[str, str] | None:
    """What a file's name has before and after the longest id of an image in it."""
    folder, slash, last = name.rpartition("/")
    for length in range(len(last) - 1, 0, -1):
        for start in range(len(last) - length + 1):
            if folder + slash + last[start : start + length] in images:
                return last[:start], last[start + length :]
    return None
