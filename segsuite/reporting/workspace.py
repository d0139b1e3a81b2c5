"""A comparison of runs as a workspace and a report of Weights & Biases, made without a server.

Both hold, in this order: final scores, accuracy against cost, parallel coordinates of what was
swept, learning curves by setting with their spread over seeds, the IoU of each class, and the same
images of all runs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from unicodedata import category

from segsuite.core.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

SEED = "seed"
_MOST_CURVES, _MOST_SETTINGS, _BARS, _PICTURES = 4, 3, 20, 50
"""Panels of learning curves; settings that they are grouped by; classes and media of a panel."""
_LONGEST = 128
"""What W&B takes as a title."""
_REFUSED = {"So", "Sk", "Sm", "Sc", "Cs"}
"""Kinds of characters that the library takes for emojis in the name of a workspace, `=` too."""
_BASELINE = "#000000"
_CURVES = "Learning curves"


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What the runs of a comparison have logged to Weights & Biases.

    Attributes:
        project: their project.
        entity: team or user that it belongs to; empty where that is not known yet.
        title: what the comparison is called.
        groups: the sweeps that they belong to.
        runs: the name of each run by its id.
        metrics: logged scalars, such as `val/miou`.
        headline: the scalar that they are compared by.
        costs: scalars that say what a run costs, such as `gmacs`.
        swept: dotted keys of the config that differ.
        classes: scalars of one class each, such as `iou/road`.
        images: keys of images.
        baseline: id of the run that others are compared with; None for none.
    """

    project: str
    entity: str
    title: str
    groups: tuple[str, ...]
    runs: Mapping[str, str]
    metrics: tuple[str, ...]
    headline: str
    costs: tuple[str, ...]
    swept: tuple[str, ...]
    classes: tuple[str, ...]
    images: tuple[str, ...]
    baseline: str | None


def workspace(logged: Logged) -> "Workspace":
    """The workspace, of these runs alone; nothing is sent.

    Its baseline is pinned where the entity is known, which W&B's name of a run includes.

    Raises:
        MissingExtra: wandb-workspaces is not installed.
    """
    check_installed()
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    shown = [f"summary:{name}" for name in (logged.headline, *logged.costs)]
    for key in _settings(logged):
        above, dot, below = key.partition(".")
        shown.append(f"config:{above}.value{dot}{below}")  # as W&B keeps what is nested
    colour = {logged.baseline: ws.RunSettings(color=_BASELINE)} if logged.baseline else {}
    return ws.Workspace(
        entity=logged.entity,
        project=logged.project,
        name=_title("".join("-" if category(c) in _REFUSED else c for c in logged.title)),
        sections=[
            ws.Section(name=title, panels=panels, is_open=True)
            for title, panels in _sections(logged, wr)
        ],
        settings=ws.WorkspaceSettings(max_runs=max(10, len(logged.runs))),
        runset_settings=ws.RunsetSettings(
            filters=_only(logged.runs, expr),
            order=[expr.Ordering(expr.Summary(logged.headline), ascending=False)],
            pinned_columns=["run:displayName", *shown],
            run_settings=colour,
            baseline_run=logged.baseline if logged.entity else None,
        ),
    )


def report(logged: Logged, *, text: str = "") -> "Report":
    """The report; nothing is sent.

    Args:
        text: what stands above the panels: paragraphs, between empty lines.

    Raises:
        MissingExtra: wandb-workspaces is not installed.
    """
    check_installed()
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = [wr.P(part.strip()) for part in text.split("\n\n") if part.strip()]
    if logged.baseline:
        blocks.append(wr.P(f"Baseline, in black: {logged.runs.get(logged.baseline)}"))
    of_settings = [f"config.{key}" for key in _settings(logged)]
    by_setting = of_settings or (["group"] if logged.groups else [])
    for title, panels in _sections(logged, wr, runs_grouped=True):
        by = by_setting if title == _CURVES else []
        blocks += [wr.H2(title), wr.PanelGrid(runsets=_runsets(logged, by, wr), panels=panels)]
    # With an entity of its own, since the library asks the server for one that is left out.
    return wr.Report(
        project=logged.project,
        entity=logged.entity,
        title=_title(logged.title),
        blocks=blocks,
        width="fluid",
    )


def to_json(made: "Workspace | Report") -> dict[str, Any]:
    """What would be sent, as plain types."""
    return json.loads(made._to_model().model_dump_json(by_alias=True, exclude_none=True))


def save(logged: Logged, *, text: str = "") -> tuple[str, str]:
    """Saves both in W&B; their addresses.

    Raises:
        MissingExtra: wandb-workspaces is not installed.
        ConfigError: there is no account on this machine, or W&B did not take them.
    """
    check_installed()
    import wandb
    import wandb_workspaces.reports.v2 as wr

    if not wandb.login(prompt=False):
        raise ConfigError(
            "saving in W&B needs an account: type `wandb login`, or set WANDB_API_KEY, and the "
            "same command again"
        )
    page = report(logged, text=text)
    try:
        owned = replace(logged, entity=logged.entity or str(wandb.Api().default_entity))
        page.entity = owned.entity
        for block in page.blocks:
            for runs in block.runsets if isinstance(block, wr.PanelGrid) else ():
                runs.entity, runs.project = owned.entity, owned.project
        return workspace(owned).save().url, page.save().url
    except Exception as error:  # wandb's and the library's have no kind in common
        raise ConfigError(
            f"W&B did not take the workspace of {logged.project} ({error}); its runs must be there "
            "first: wandb sync FOLDER/wandb"
        ) from error


def check_installed() -> None:
    """Raises MissingExtra where wandb-workspaces is not installed."""
    if find_spec("wandb_workspaces") is None:
        raise MissingExtra("wandb-workspaces", "wandb")


def _sections(
    logged: Logged, wr: Any, *, runs_grouped: bool = False
) -> Iterator[tuple[str, list[Any]]]:
    """Title and panels of each section that there is something for.

    Args:
        runs_grouped: whether the runs of the learning curves are grouped by their whole setting. A
            panel by itself groups by one key, so that there is one for each.
    """
    most = max(10, len(logged.runs))
    final = logged.headline
    scores = wr.BarPlot(title=final, metrics=[final], max_runs_to_show=most, max_bars_to_show=most)
    yield "Final scores", [scores, wr.RunComparer(diff_only="split")]
    if logged.costs:
        yield "Accuracy against cost", [_against(cost, final, wr) for cost in logged.costs]
    if logged.swept:
        axes = [wr.Config(key) for key in logged.swept]
        axes += [wr.SummaryMetric(name) for name in (*logged.costs, final)]
        columns = [wr.ParallelCoordinatesPlotColumn(metric=axis) for axis in axes]
        yield "What was swept", [wr.ParallelCoordinatesPlot(columns=columns)]
    if curves := _curves(logged):
        by = [wr.Config(key) for key in _settings(logged)] or (["Group"] if logged.groups else [])
        by = [None] if runs_grouped or not by else by
        panels = [_curve(name, key, most, wr) for key in by for name in curves]
        yield _CURVES, panels
    if logged.classes:
        parts = _parts(logged.classes, _BARS)
        bars = [
            wr.BarPlot(
                title="IoU per class",
                metrics=part,
                max_runs_to_show=most,
                max_bars_to_show=most * len(part),
            )
            for part in parts
        ]
        yield "Classes", bars
    if logged.images:
        yield "Images", [_browser(keys, wr) for keys in _by_prefix(logged.images)]


def _settings(logged: Logged) -> list[str]:
    """What tells runs apart that are not repetitions of each other."""
    return [key for key in logged.swept if key != SEED][:_MOST_SETTINGS]


def _against(cost: str, final: str, wr: Any) -> Any:
    x, y = wr.SummaryMetric(cost), wr.SummaryMetric(final)
    return wr.ScatterPlot(title=f"{final} against {cost}", x=x, y=y)


def _curves(logged: Logged) -> list[str]:
    """What is shown of a training: the headline of its validations and its loss before all else."""
    stages = [name for name in logged.metrics if name.startswith(("val/", "train/"))]
    first = (f"val/{logged.headline.partition('/')[2]}", "train/loss")
    return [*(n for n in first if n in stages), *(n for n in stages if n not in first)][
        :_MOST_CURVES
    ]


def _curve(name: str, by: Any, most: int, wr: Any) -> Any:
    """A metric over iterations: the mean of each setting, within the range of its runs."""
    return wr.LinePlot(
        title=f"{name}, by {getattr(by, 'name', by)}" if by else name,
        x="Step",
        y=[name],
        groupby=by,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=most,
    )


def _browser(keys: Sequence[str], wr: Any) -> Any:
    """Images of all runs: one below the other, iterations from left to right."""
    return wr.MediaBrowser(media_keys=list(keys), grid_x_axis="step", grid_y_axis="run")


def _by_prefix(keys: Sequence[str]) -> list[list[str]]:
    """Keys in turn, those with the same beginning together, at most so many as can be looked at."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(key.partition("/")[0], []).append(key)
    return [part for of_one in found.values() for part in _parts(of_one, _PICTURES)]


def _parts(keys: Sequence[str], most: int) -> list[list[str]]:
    return [list(keys[begin : begin + most]) for begin in range(0, len(keys), most)]


def _runsets(logged: Logged, by: Sequence[str], wr: Any) -> list[Any]:
    """The baseline before the others. Without project, which is the report's own then.

    Args:
        by: what runs are grouped by, such as `config.seed`.
    """
    from wandb_workspaces import expr

    others = [run for run in logged.runs if run != logged.baseline]
    best = wr.OrderBy(wr.SummaryMetric(logged.headline), ascending=False)
    found = []
    if logged.baseline:
        colour = {logged.baseline: wr.RunSettings(color=_BASELINE)}
        of_one = {"filters": _only([logged.baseline], expr), "run_settings": colour}
        found.append(wr.Runset(name="baseline", **of_one))
    if others:
        grouped = {"order": [best], "groupby": list(by)}
        found.append(wr.Runset(name="runs", filters=_only(others, expr), **grouped))
    return found


def _only(runs: Sequence[str] | Mapping[str, str], expr: Any) -> Any:
    """By ids: the library changes `=` and `<` in names, and fails at quotes."""
    return expr.And(expr.Metric("ID").isin(list(runs)))


def _title(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
