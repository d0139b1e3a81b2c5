"""What stays of a search: the front, its genotypes, and how the front grew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from segsuite.core.files import write_json
from segsuite.core.results import Entry, metrics_of
from segsuite.searching.objectives import Goals

ARCHIVE = Path("archive.jsonl")
"""In the run's folder; what a search goes on from."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        entries: all that was evaluated, in the order of the search.
        best: those of them that no other beats and that keep all limits.
        refused: how many were not evaluated, since they exceed a limit of what is known before.
    """

    goals: Goals
    entries: list[dict[str, Any]]
    best: list[dict[str, Any]]
    refused: int

    def records(self) -> list[Entry]:
        """One per architecture of the front."""
        return [
            Entry(
                name=entry["key"],
                metrics=metrics_of(entry["metrics"]),
                settings={"branches": len(entry["architecture"]["branches"])},
                artefacts={},
                own={"genotype": entry["architecture"]},
            )
            for entry in self.best
        ]

    def chosen(self) -> dict[str, dict[str, Any]]:
        """A small, a middle and a large network of the front, as far as there are three.

        By their rank in accuracy: the best is large, the one in the middle is middle, and the one
        in the middle of the lower half is small, since the least of all is of little use.
        """
        if not self.best or self.goals.quality is None:
            return {}
        ordered = sorted(self.best, key=lambda entry: entry["metrics"][self.goals.quality])
        last = len(ordered) - 1
        places = {"small": last // 4, "middle": last // 2, "large": last}
        if last < 2:
            del places["middle"]
        if last < 1:
            del places["small"]
        return {name: ordered[place] for name, place in places.items()}

    def show(self, console: Console) -> None:
        """Prints the front."""
        table = Table(title=f"{len(self.best)} of {len(self.entries)} that none beats")
        for name in ("architecture", *self.goals.metrics):
            table.add_column(name, justify="left" if name == "architecture" else "right")
        table.add_column("also called")
        names = {entry["key"]: name for name, entry in self.chosen().items()}
        for entry in self.best:
            known = [f"{entry['metrics'][n]:.4g}" for n in self.goals.metrics]
            table.add_row(entry["key"], *known, names.get(entry["key"], ""))
        console.print(table)


def write_genotypes(result: SearchResult, folder: Path, target: str) -> list[Path]:
    """A YAML file for each architecture of the front, to be retrained, where Hydra looks for it.

    `--config-dir FOLDER method/genotype=KEY` chooses one; a small, a middle and a large one are
    there by these names too.

    Args:
        target: import path of what makes an architecture of its plain form.
    """
    import yaml

    paths, group = [], folder / "method" / "genotype"
    group.mkdir(parents=True, exist_ok=True)
    named = [(entry["key"], entry) for entry in result.best]
    for name, entry in [*named, *result.chosen().items()]:
        path = group / f"{name}.yaml"
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in entry["metrics"].items())
        node = {"_target_": target, **entry["architecture"]}
        text = yaml.safe_dump(node, sort_keys=False, default_flow_style=None)
        path.write_text(f"# {entry['key']}: {metrics} (by the supernet)\n{text}")
        paths.append(path)
    write_json(folder / "front.json", result.best)
    return paths
