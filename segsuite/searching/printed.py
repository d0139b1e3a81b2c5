"""What papers print of real-time networks, for the axes of a search that asks the same question."""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files

import yaml

from segsuite.core.sizes import Size
from segsuite.data.class_table import ClassTable

_SIZE = (1024, 2048)
_CLASSES = "cityscapes19"


def with_printed(
    measured: Mapping[str, Mapping[str, float]],
    names: Collection[str],
    *,
    size: Size,
    classes: ClassTable,
) -> dict[str, dict[str, float]]:
    """What was measured, with the papers' mIoU beside it, and what only papers tell.

    Costs that were measured here go over printed ones. Nothing is added where candidates are not
    of Cityscapes at 1024x2048, since figures of other images and sizes are no comparison.

    Args:
        names: the search's metrics that count as costs.
    """
    found = {name: dict(costs) for name, costs in measured.items()}
    same = classes.names == ClassTable.load(_CLASSES).names
    if not found or tuple(size) != _SIZE or not same:
        return found
    for name, figures in figures_of_papers().items():
        own = {key: figures[key] for key in names if key in figures} | found.get(name, {})
        if own:
            found[name] = {"miou": figures["miou"]} | own
    return found


@cache
def figures_of_papers() -> dict[str, dict[str, float]]:
    """By the name of the experiment, or of the network where there is none: mIoU of 1, costs."""
    text = files("segsuite.searching").joinpath("printed.yaml").read_text(encoding="utf-8")
    return {
        name: {key: float(value) for key, value in figures.items()}
        for name, figures in yaml.safe_load(text)["figures"].items()
    }
