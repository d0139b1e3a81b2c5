"""The released files become S, M and L, and S, M and L those files."""

import json
import re

import pytest
import yaml

from scripts.import_hyctas import main
from segsuite.core.errors import ConfigError
from segsuite.methods.hyctas.genotype import Genotype
from segsuite.methods.hyctas.released import from_released, to_released
from tests.hyctas.made import genotype

SMALL = {
    "ops": [[3, 2, 2, 1, 2, 4, 1, 3, 3, 2, 3]],
    "paths": [[0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2]],
    "downs": [[0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
    "widths": [[n / 12 for n in (8, 8, 8, 4, 8, 10, 4, 10, 4, 8)]],
    "lasts": [2],
}
"""The numbers of HRTNET_S.json."""


def test_s_is_the_released_one():
    assert from_released(SMALL, filters=6, ends=8) == genotype("s")
    assert to_released(genotype("s")) == SMALL


@pytest.mark.parametrize("name", "sml")
def test_there_and_back(name):
    made = genotype(name)
    channels = {"filters": made.channels.filters, "ends": made.channels.ends}
    assert from_released(to_released(made), **channels) == made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lasts": [1]}, "`lasts` does not fit `downs`: [1] where [2] was expected"),
        ({"ops": [[5, *SMALL["ops"][0][1:]]]}, "`ops` holds 5, which is none of 0 skip"),
        ({"widths": [[0.7, *SMALL["widths"][0][1:]]]}, "0.7, which is no twelfth"),
    ],
)
def test_what_does_not_fit_is_said(changes, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        from_released(SMALL | changes, filters=6, ends=8)
    with pytest.raises(ConfigError, match="it lacks ops, downs"):
        from_released({"paths": [], "widths": [], "lasts": []}, filters=6, ends=8)


def test_the_script(tmp_path, capsys):
    source, target = tmp_path / "s.json", tmp_path / "s.yaml"
    source.write_text(json.dumps(SMALL))
    assert main([str(source), str(target), "6", "8"]) == 0
    plain = yaml.safe_load(target.read_text())
    assert plain.pop("_target_") == f"{Genotype.__module__}.Genotype"
    assert Genotype(**plain) == genotype("s")
    source.write_text("{")
    assert main([str(source), str(target), "6", "8"]) == 2
    assert "cannot be read as JSON" in capsys.readouterr().err
