"""One record of results: written and read alike, and refused where its form is not known."""

import json

import pytest

from segsuite.core.errors import ConfigError
from segsuite.core.results import Entry, Metric, Record, metrics_of, read

ENTRY = Entry(
    name="a",
    metrics={"ms": Metric(value=2.0, low=1.0, high=3.0), **metrics_of({"val/miou": None})},
    settings={"batch": 1},
    artefacts={"checkpoint": "a.ckpt"},
    own={"segvit": {"tokens": [10, 8]}},
)
RECORD = Record(
    kind="speed", name="b", config=["x=1"], machine={"device": "cpu"}, commit=None, entries=[ENTRY]
)


def written(path, record):
    path.write_text(json.dumps({"more": 1, "record": record}))
    return path


def test_what_is_written_is_read(tmp_path):
    assert read(written(tmp_path / "result.json", RECORD.to_dict())) == RECORD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, and this suite reads version 1"),
        ({"entries": [{"name": "a"}]}, "damaged record"),
        ({"entries": None}, "damaged record"),
        ({"more": 1}, "damaged record"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        read(written(tmp_path / "result.json", RECORD.to_dict() | change))


def test_a_file_without_a_record_is_named(tmp_path):
    path = tmp_path / "result.json"
    for text in (None, "", "[]", "{}"):
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError, match=r"result\.json holds no record"):
            read(path)


@pytest.mark.parametrize("record", ["no", 3, None, [1]])
def test_a_record_that_is_no_mapping_is_refused(tmp_path, record):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"record": record}))
    with pytest.raises(ConfigError, match="holds a damaged record"):
        read(path)
