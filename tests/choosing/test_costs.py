"""Costs are measured once for a machine, a size and a version of the suite."""

import itertools
import json

import pytest
import torch

from segsuite.choosing import costs as module
from segsuite.choosing.costs import Costs, timed_in_turns
from segsuite.engine.inference.candidates import from_experiment
from segsuite.measure.operations import count_parameters

FIRST, SECOND = "mobile_basic_cityscapes_fine", "hyctas_s_cityscapes"


class Clock:
    """A runtime on which each network takes as long as is said."""

    device = torch.device("cpu")

    def __init__(self, **facts) -> None:
        self.facts, self.readied, self.slower = {"machine": "some", **facts}, [], 1.0

    def ready(self, modules):
        self.readied += [count_parameters(module) for module, _ in modules]
        return [lambda: 0.001 * self.slower for _ in modules]


def costs(path, clock, *, size=(64, 64), rounds=6) -> Costs:
    given = {"overrides": ["data=camvid"], "classes": 11, "rounds": rounds}
    return Costs(runtime=clock, size=size, path=path / "costs.json", **given)


def test_a_second_call_measures_nothing(tmp_path):
    clock, told = Clock(), []
    found, failed = costs(tmp_path, clock).of([FIRST, SECOND], tell=told.append)
    assert failed == {} and len(clock.readied) == 2
    assert found[FIRST].values["ms"] == pytest.approx(1.0)
    typed = f"{SECOND} method.auxiliary_heads=none"  # which predictions do not run
    plain = from_experiment(typed, size=(64, 64), overrides=["data=camvid"]).network
    assert found[SECOND].values["params"] == count_parameters(plain) / 1e6
    weights = 4 * clock.readied[0] / 1e6
    assert weights < found[FIRST].values["mb"] < weights + 5
    again, _ = costs(tmp_path, clock).of([SECOND, FIRST], tell=told.append)
    assert again == found and list(again) == [SECOND, FIRST] and len(clock.readied) == 2
    assert "measured before" in told[-1]


def test_a_later_network_is_measured_beside_an_earlier_one(tmp_path):
    clock = Clock()
    costs(tmp_path, clock).of([FIRST], tell=print)
    clock.slower = 3.0  # the machine is
    found, _ = costs(tmp_path, clock).of([FIRST, SECOND], tell=print)
    assert len(clock.readied) == 3
    assert found[FIRST].values["ms"] == pytest.approx(1.0)
    assert found[SECOND].values["ms"] == pytest.approx(1.0)
    assert found[SECOND].high == pytest.approx(1.0)


@pytest.mark.parametrize(("slower", "counts"), [(0.5, 0.5), (2.0, 1.0)])
def test_of_two_measurements_the_shorter_counts_and_is_kept(tmp_path, slower, counts):
    clock = Clock()
    own = costs(tmp_path, clock)
    found, _ = own.of([FIRST, SECOND], tell=print)
    clock.slower = slower
    better, ratio = own.again(FIRST, found[FIRST])
    assert better.values["ms"] == pytest.approx(counts) and ratio == pytest.approx(slower)
    assert own.of([FIRST], tell=print)[0] == {FIRST: better}
    assert own.of([SECOND], tell=print)[0] == {SECOND: found[SECOND]}


def test_a_cost_that_is_no_number_is_measured_anew(tmp_path, caplog):
    costs(tmp_path, Clock()).of([FIRST], tell=print)
    file = tmp_path / "costs.json"
    plain = json.loads(file.read_text())
    next(iter(plain.values()))[FIRST]["values"]["ms"] = "fast"
    file.write_text(json.dumps(plain))
    found, _ = costs(tmp_path, Clock()).of([FIRST], tell=print)
    assert found[FIRST].values["ms"] == pytest.approx(1.0)
    assert "costs.json is damaged (a cost is no number)" in caplog.text


@pytest.mark.parametrize("change", ["machine", "size", "rounds", "suite", "damaged"])
def test_what_may_have_changed_is_measured_anew(tmp_path, monkeypatch, change):
    costs(tmp_path, Clock()).of([FIRST], tell=print)
    clock, given = Clock(), {}
    if change == "machine":
        clock = Clock(machine="other")
    elif change == "suite":
        monkeypatch.setattr(module, "suite_digest", lambda: "other")
    elif change == "damaged":
        (tmp_path / "costs.json").write_text("[1, 2")
    else:
        given = {"size": (64, 96)} if change == "size" else {"rounds": 7}
    costs(tmp_path, clock, **given).of([FIRST], tell=print)
    assert len(clock.readied) == 1
    kept = 1 if change == "damaged" else 2
    assert len(json.loads((tmp_path / "costs.json").read_text())) == kept


def test_images_are_padded_to_what_a_network_takes(tmp_path):
    found, _ = costs(tmp_path, Clock(), size=(60, 90)).of([FIRST, SECOND], tell=print)
    assert found[FIRST].size == (60, 90) and found[SECOND].size == (64, 96)


def test_what_cannot_be_measured_does_not_stop_the_others(tmp_path):
    found, failed = costs(tmp_path, Clock()).of(["segvit_vitz", FIRST], tell=print)
    assert list(found) == [FIRST] and "segvit_vitt" in failed["segvit_vitz"]


def test_slow_networks_leave_after_fewer_rounds():
    cold = itertools.cycle([0.04, 0.01])  # others were in the caches meanwhile
    runs = {"fast": lambda: next(cold), "slow": lambda: 2.0}
    taken = timed_in_turns(runs, rounds=20)
    assert taken["fast"] == [0.01] * 20 and len(taken["slow"]) == 5
