"""A run is finished when everything else is done."""

import logging
from types import SimpleNamespace

import pytest

from segsuite.core.results import Entry, Metric, Record
from segsuite.engine.launch.record import Result
from segsuite.engine.launch.sweeps import log_no_more
from segsuite.engine.loggers import records
from segsuite.engine.result import finished


def test_loggers_are_told_before_it_counts_as_finished_and_their_errors_cost_no_result(
    tmp_path, monkeypatch
):
    entry = Entry(name="some", metrics={"test/miou": Metric(value=0.5)})
    about = {"kind": "train", "name": "some", "config": [], "machine": {}, "commit": None}
    result = Result(
        folder=tmp_path, own={"optimized": 0.5}, record=Record(**about, entries=[entry])
    )

    def told(loggers, record, folder, **_):
        assert record["entries"][0]["name"] == "some"
        assert not (tmp_path / "result.json").exists()
        raise OSError("no space left")

    monkeypatch.setattr(records, "log_result", told)
    run = SimpleNamespace(folder=tmp_path, config={})
    with pytest.raises(OSError, match="no space left"):
        finished(run, result, loggers=[])
    assert (tmp_path / "result.json").exists()
    (tmp_path / "result.json").unlink()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "log_result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finished(run, result, loggers=[])
    assert not (tmp_path / "result.json").exists(), "it goes on from its checkpoint, and tells them"


def test_what_a_launcher_says_later_is_not_written_to_a_job_that_has_finished(tmp_path):
    (tmp_path / "real").mkdir()
    (link := tmp_path / "link").symlink_to(tmp_path / "real")  # as scratch folders of clusters
    (job := link / "job").mkdir()
    own, other = (logging.FileHandler(at / "train.log") for at in (job, tmp_path))
    root = logging.getLogger()
    try:
        for handler in (own, other):
            root.addHandler(handler)
        log_no_more(job)
        logging.getLogger("submitit").warning("Job completed successfully")
        assert own not in root.handlers and (job / "train.log").read_text() == ""
        assert "completed" in (tmp_path / "train.log").read_text()
    finally:
        root.removeHandler(other)
        other.close()
