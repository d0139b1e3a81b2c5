"""What is known of accuracy: this machine's runs before papers, of the same data before others."""

import json
import re

import pytest
import yaml

from segsuite.bench.paper import printed_mious
from segsuite.choosing.known import Known, best_known, network_digest, runs_of
from segsuite.core.config import CONF
from segsuite.core.results import Entry, Record, metrics_of
from tests.config.composed import EXPERIMENTS

DATA = {"reader": {"_target_": "some.Reader", "size": [8, 8]}, "classes": "camvid11"}
NETWORK = {"_target_": "some.Network", "width": 8, "num_classes": 11, "weights": None}


def finished(folder, miou, *, network=NETWORK, data=DATA, kind="train", version=1):
    folder.mkdir(parents=True)
    config = {"data": data, "method": {"network": network}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = metrics_of({"test/miou": miou, "test/baseline_miou": 0.1})
    entry = Entry(name="some", metrics=metrics)
    record = Record(kind=kind, name="some", config=[], machine={}, commit=None, entries=[entry])
    plain = record.to_dict() | {"version": version}
    (folder / "result.json").write_text(json.dumps({"record": plain, "steps": 20}))


def test_printed_figures_are_those_of_the_experiments_headers():
    printed = {name: miou for own in printed_mious().values() for name, miou in own.items()}
    headers = {}
    for name in EXPERIMENTS:
        text = (CONF / "experiment" / f"{name}.yaml").read_text()
        if found := re.search(r"^# Paper: ([\d.]+) mIoU", text, re.MULTILINE):
            headers[name] = float(found[1])
    assert printed == headers and len(printed) > 30


def test_the_best_run_of_each_network_on_these_data_counts(tmp_path):
    finished(tmp_path / "a", 0.3)
    finished(tmp_path / "b", 0.5, network=NETWORK | {"weights": "imagenet", "num_classes": 12})
    finished(tmp_path / "c", 0.9, data=DATA | {"classes": "cityscapes19"})
    finished(tmp_path / "d", 0.8, kind="sweep")
    finished(tmp_path / "e", 0.4, network=NETWORK | {"width": 16})
    finished(tmp_path / "f", None, network=NETWORK | {"width": 32})
    finished(tmp_path / "g", 0.1, network=NETWORK | {"width": 64})  # as the commonest class
    moved = {**DATA, "reader": {**DATA["reader"], "size": [16, 16]}}
    told = []
    found = runs_of(tmp_path, data=moved, name="camvid", tell=told.append)
    assert found == {
        network_digest(NETWORK): Known(
            0.5, "camvid", f"the best of 2, 20 iterations, {tmp_path / 'b'}", 0
        ),
        network_digest(NETWORK | {"width": 16}): Known(
            0.4, "camvid", f"20 iterations, {tmp_path / 'e'}", 0
        ),
    }
    assert told == [
        f"runs below {tmp_path} that do not count: 1 on other data, or on another folder of them; "
        "2 not tested, or no better than the commonest class"
    ]


def test_what_cannot_be_read_is_told_and_the_rest_counts(tmp_path):
    finished(tmp_path / "good", 0.3)
    finished(tmp_path / "new", 0.9, version=2)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "result.json").write_text('{"record": {"vers')
    told = []
    found = runs_of(tmp_path, data=DATA, name="camvid", tell=told.append)
    assert [known.miou for known in found.values()] == [0.3]
    assert "version 2" in told[0] and "new" in told[0]
    assert told[1].endswith("do not count: 1 without a training that can be read")
    assert runs_of(tmp_path / "none", data=DATA, name="camvid", tell=told.append) == {}


@pytest.mark.parametrize(
    ("experiment", "network", "data", "tier", "miou"),
    [
        ("segvit_vitt", "mine", "ade20k", 0, 0.25),
        ("segvit_vitt", "other", "ade20k", 1, 0.378),
        ("segvit_vitt", "other", "camvid", 2, 0.378),
        ("hyctas_m_cityscapes", "other", "cityscapes", 1, 0.771),
        ("essnet_camvid_lite0_linear", "other", "camvid", 1, 0.665),
    ],
)
def test_runs_come_before_papers(experiment, network, data, tier, miou):
    runs = {"mine": Known(0.25, "ade20k", "logs/train/some", 0)}
    found = best_known(experiment, network, data=data, runs=runs)
    assert (found.tier, found.miou) == (tier, pytest.approx(miou))


def test_of_some_nothing_is_known():
    assert best_known("cts_dtop_vitt_fast", "other", data="ade20k", runs={}) is None
