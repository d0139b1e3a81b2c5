"""The memory of training steps as a table and a plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from segsuite.core.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = (
    "The paper (table 6, 12 GB cards): Cityscapes 12.1 GB at batch 14 (plain head) and 10.4 at 12 "
    "(embeddings, nearest classes); ADE20K 10.3 at 8 and 10.0 at 10; COCO+LVIS 9.94 at 2 and 10.4 "
    "at 10."
)


def memory_table(found: dict[str, Any], title: str) -> Table:
    """One row per way to train, one column per number of classes."""
    rows = found["rows"]
    classes = list(dict.fromkeys(row["classes"] for row in rows))
    table = Table("", *(f"{count:,} classes" for count in classes), title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for arm in dict.fromkeys(row["arm"] for row in rows):
        cells = {row["classes"]: _cell(row) for row in rows if row["arm"] == arm}
        table.add_row(arm, *(cells[count] for count in classes))
    table.caption = (
        f"GB at batch {found['batch']} / largest batch in {found['gigabytes']:g} GB. On a CPU the "
        "tensors that live at once; what kernels, the exact loss among them, hold while they work "
        f"(a few MB) is not seen. {PAPER}"
    )
    return table


def _cell(row: dict[str, Any]) -> str:
    if row["peak_gigabytes"] is None:
        return "did not fit"
    return f"{row['peak_gigabytes']:.2f} / {row['largest_batch']}"


def save_memory_plot(found: dict[str, Any], path: str | Path, *, title: str) -> "Figure":
    """Writes two curves a way to train: peak memory, and the largest batch, against classes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=110)
    FigureCanvasAgg(figure)  # no window system is needed
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    left, right = figure.subplots(1, 2)
    for arm in dict.fromkeys(row["arm"] for row in found["rows"]):
        rows = [r for r in found["rows"] if r["arm"] == arm and r["peak_gigabytes"] is not None]
        classes = [row["classes"] for row in rows]
        left.plot(classes, [row["peak_gigabytes"] for row in rows], "o-", label=arm)
        right.plot(classes, [row["largest_batch"] for row in rows], "o-", label=arm)
    left.set_ylabel(f"peak at batch {found['batch']}, GB")
    right.set_ylabel(f"largest batch in {found['gigabytes']:g} GB")
    counts = sorted({row["classes"] for row in found["rows"]})
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("classes")
    left.set_yscale("log")
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    figure.tight_layout()
    with written_whole(path) as beside:
        figure.savefig(beside)
    return figure
