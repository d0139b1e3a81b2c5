"""A choice as it is typed."""

from collections.abc import Callable, Sequence
from pathlib import Path

from segsuite.choosing.choice import Choice
from segsuite.choosing.costs import Costs
from segsuite.choosing.known import best_known, runs_of
from segsuite.core.errors import ConfigError
from segsuite.engine.inference.candidates import check_experiments
from segsuite.engine.inference.framing import pair
from segsuite.engine.launch.run import Run

_FILE = Path("choose") / "costs.json"


def chosen(run: Run, *, data: str, tell: Callable[[str], None]) -> Choice:
    """What fits the budget.

    Args:
        data: name of the data set.

    Raises:
        ConfigError: no budget, no experiment, or none that could be measured.
    """
    cfg = run.config
    budget = run.build("budget")
    check_experiments("experiments", cfg.experiments)
    if not cfg.experiments:
        raise ConfigError("experiments=[] names no network to choose from; leave it out for all")
    runs = Path(cfg.runs)
    if not runs.is_dir() and any(typed.startswith("runs=") for typed in run.typed):
        raise ConfigError(f"runs={runs} is no folder; type the folder of your trainings")
    overrides = _of_data(run.typed, data)
    size = pair(cfg.size or cfg.data.crop_size)
    costs = Costs(
        runtime=run.build("runtime"),
        size=size,
        overrides=overrides,
        classes=cfg.data.num_classes,
        path=Path(cfg.paths.logs) / _FILE,
        rounds=cfg.rounds,
        allow=run.allow,
    )
    found, failed = costs.of(list(dict.fromkeys(cfg.experiments)), tell=tell)
    if not found:
        raise ConfigError(
            "none of the networks could be measured: "
            + "; ".join(f"{name}: {why}" for name, why in failed.items())
        )
    own = runs_of(runs, data=run.plain("data"), name=data, tell=tell)
    if others := set(own) - {cost.network for cost in found.values()}:
        tell(f"{len(others)} networks trained on these data are not among those to choose from")
    known = {
        name: best
        for name, cost in found.items()
        if (best := best_known(name, cost.network, data=data, runs=own)) is not None
    }
    again = {}
    for name in list(found) if cfg.again else ():
        tell(f"measuring {name} again, alone")
        found[name], again[name] = costs.again(name, found[name])
    typed = [*overrides, *([f"allow=[{','.join(cfg.allow)}]"] if cfg.allow else [])]
    typed += [o for o in run.typed if o.startswith(("data.crop_size=", "paths.logs="))]
    typed += ["trainer=cpu"] if "device=cpu" in run.typed else []
    device = costs.runtime.device
    by = str(costs.runtime.facts["runtime"])
    return Choice(budget, size, data, found, failed, known, typed, again, device, by)


def _of_data(typed: Sequence[str], data: str) -> list[str]:
    """What was typed about the data set, its name in any case; sizes are said apart."""
    own = [o for o in typed if o.lstrip("+~").startswith(("data.", "data/"))]
    return [f"data={data}", *(o for o in own if not o.startswith("data.crop_size="))]
