#!/usr/bin/env bash
# pymoo 0.6.2: NSGA-II takes an objective that is nan for a tie, so that cheap failures win.
#
# A search that gives nan where the accuracy of a candidate could not be measured would expect such
# candidates to lose, or a warning. Domination is decided by the objectives that can be compared:
# one that failed and costs less than another dominates it, however accurate that is. Here everything
# whose first gene lies above 0.8 fails and costs nothing; after 30 generations the whole population
# and the whole result are failures, with each of three seeds. With a large number in place of nan
# they are a tenth of the population, the cheap end of the front. Failures that cost more than others
# die out either way. segsuite gives candidates that were not evaluated finite, bad values
# (segsuite/searching/objectives.py).
#
#   bash findings/pymoo_nan_counts_as_a_tie.sh   exits with 0 while that is so
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymoo==0.6.2 numpy==2.4.6
cat > "$folder/tie.py" <<'PYTHON'
import numpy as np
import pymoo
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.optimize import minimize


class Architectures(Problem):
    """Error against cost."""

    def __init__(self, failed: float) -> None:
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self.failed = failed

    def _evaluate(self, x, out, *args, **kwargs):
        fails = x[:, 0] > 0.8
        error = np.where(fails, self.failed, 1 - x[:, 1])
        cost = np.where(fails, 0.0, x[:, 1:].sum(axis=1))
        out["F"] = np.stack([error, cost], axis=1)


def failures(failed: float, seed: int) -> tuple[float, float]:
    """Their shares of the last population and of the result."""
    found = minimize(Architectures(failed), NSGA2(pop_size=20), ("n_gen", 30), seed=seed)
    genes = found.pop.get("X"), np.atleast_2d(found.X)
    return tuple(float((vectors[:, 0] > 0.8).mean()) for vectors in genes)


print("pymoo", pymoo.__version__)
for seed in (1, 2, 3):
    tie, number = failures(float("nan"), seed), failures(1e6, seed)
    print(f"seed {seed}: failures with nan {tie}, with a large number {number}")
    assert tie == (1.0, 1.0) and number[0] <= 0.2, (tie, number)
print("as described")
PYTHON
"$folder/venv/bin/python" "$folder/tie.py"
