#!/usr/bin/env bash
# wandb-workspaces 0.4.13: a filter looks for another name than the one that it was given.
#
# A filter by the name of a run is turned into text of Python's syntax and parsed again, and on the way
# single `=` and `<` are taken for operators: a filter for `theta=0.8`, which is how sweeps name their
# jobs, is stored as one for `theta==0.8`, one for `a<b` as one for `a<=b`, so that the workspace shows
# no run and nothing says why. The name of a workspace is refused for the same sign: "Emojis are not
# allowed", since an equals sign counts as a mathematical symbol. Filters by the id of a run are kept.
# segsuite filters by id (segsuite/reporting/workspace.py). No network and no account is needed to see it.
#
#   bash findings/wandb_workspaces_rewrites_names_in_filters.sh   exits with 0 while that is so
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q wandb==0.31.0 wandb-workspaces==0.4.13
cat > "$folder/names.py" <<'PYTHON'
from importlib.metadata import version

import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr


def stored(metric: str, value: str) -> str:
    """What a filter of the workspace's JSON looks for."""
    chosen = ws.RunsetSettings(filters=expr.And(expr.Metric(metric) == value))
    made = ws.Workspace(entity="e", project="p", name="n", runset_settings=chosen)
    filters = made._to_model().spec.section.run_sets[0].filters
    while filters.get("filters"):
        filters = filters["filters"][0]
    return filters["value"]


print("wandb-workspaces", version("wandb-workspaces"), "wandb", version("wandb"))
found = {(metric, value): stored(metric, value)
         for metric, value in (("Name", "theta=0.8"), ("Name", "a<b"), ("ID", "0a1b2c"))}
for (metric, value), kept in found.items():
    print(f"{metric} == {value!r} is stored as {kept!r}")
try:
    ws.Workspace(entity="e", project="p", name="theta=0.8")
    said = "accepted"
except ValueError as error:
    said = str(error)
print("a workspace called theta=0.8:", "refused as emojis" if "moji" in said else said)
same = list(found.values()) == ["theta==0.8", "a<=b", "0a1b2c"] and "moji" in said
print("as described" if same else "names are kept now")
raise SystemExit(not same)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/names.py"
