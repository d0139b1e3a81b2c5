"""scripts/kill_sweep.py types what can be trained; it runs for minutes, and not here."""

import importlib.util
from pathlib import Path

from segsuite.core.config import CONF
from segsuite.engine.launch.entry_point import compose

SCRIPT = CONF.parent / "scripts" / "kill_sweep.py"


def test_what_it_types_is_a_sweep_of_six(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("kill_sweep", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    typed = [word for word in script.SWEEP if word != "-m"]
    jobs = 1
    for word in typed:
        values = word.partition("=")[2]
        jobs *= 1 if values[:1] in "[{" else len(values.split(","))
    assert jobs == 6
    first = [w if "[" in w or "{" in w else w.split(",")[0] for w in typed]
    assert compose("train", first).trainer.max_steps == 30
    assert script.results(tmp_path) == {} and not script.begun(tmp_path)
