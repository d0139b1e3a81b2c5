"""The archive: what was found stays, a cut line is forgotten, another search is refused."""

import json
import re

import pytest

from segsuite.core.errors import ConfigError
from segsuite.searching.archive import Archive, key_of

ABOUT = {"space": {"layers": 8}, "supernet": "abc"}


def test_what_was_found_is_there_again(tmp_path):
    path = tmp_path / "search" / "archive.jsonl"
    first = Archive(path, ABOUT)
    first.add("a", {"metrics": {"miou": 0.5}})
    first.add("b", {"metrics": {"miou": 0.25}})
    with pytest.raises(ConfigError, match="is written to by another search"):
        Archive(path, ABOUT)
    first.close()
    again = Archive(path, ABOUT)
    assert [entry["key"] for entry in again] == ["a", "b"] and len(again) == 2
    assert again["b"]["metrics"] == {"miou": 0.25} and "c" not in again


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_a_kill_cut_is_forgotten(tmp_path, cut):
    path = tmp_path / "archive.jsonl"
    archive = Archive(path, ABOUT)
    for key in "ab":
        archive.add(key, {"metrics": {"miou": 0.5}})
    archive.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Archive(path, ABOUT)
    assert [entry["key"] for entry in again] == ["a"]
    again.add("b", {"metrics": {"miou": 0.5}})
    assert [json.loads(line).get("key") for line in path.read_text().splitlines()] == [
        None,
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({**ABOUT, "space": {"layers": 9}}, "space was {'layers': 8}, and is {'layers': 9}"),
        ({**ABOUT, "supernet": "xyz"}, "supernet was 'abc', and is 'xyz'"),
        ({"space": ABOUT["space"]}, "supernet was 'abc', and is None"),
    ],
)
def test_the_archive_of_another_search_is_refused(tmp_path, about, said):
    path = tmp_path / "archive.jsonl"
    Archive(path, ABOUT).add("a", {})
    with pytest.raises(ConfigError, match=re.escape(said)):
        Archive(path, about)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "archive.jsonl"
    Archive(path, ABOUT).add("a", {})
    path.write_text(path.read_text().replace('"key"', '"key', 1))
    path.write_text(path.read_text() + '{"key": "b"}\n')
    with pytest.raises(ConfigError, match="line 2, is no JSON"):
        Archive(path, ABOUT)


def test_keys_do_not_depend_on_order():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1}) != key_of({"a": 1, "b": [3]})
