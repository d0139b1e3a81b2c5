"""A sample of mutated overrides; `python -m tests.entry_points.mutations 600` goes through many."""

import pytest

from tests.entry_points.mutations import Workshop


def test_no_mutated_override_ends_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing is fetched
    workshop = Workshop(tmp_path)
    for case in workshop.cases(8, seed=0):
        fault = workshop.outcome(case)
        if fault is not None:
            pytest.fail(f"{case}\n{fault}")
