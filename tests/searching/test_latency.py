"""Latency from parts: a machine whose truth is known, and files that are refused."""

import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from segsuite.core.errors import ConfigError
from segsuite.exporting.errors import ExportError
from segsuite.searching.latency.correction import fitted
from segsuite.searching.latency.measuring import GROUP
from segsuite.searching.latency.model import LatencyModel
from segsuite.searching.latency.runtimes import Command, OnnxRuntime, Torch
from segsuite.searching.latency.source import FILE, TableSource
from segsuite.searching.latency.table import LatencyTable

pytest.importorskip("scipy")


@dataclass(frozen=True)
class Box:
    """Of a few numbered kinds; or a whole, which is a list of them."""

    name: str

    def make(self) -> nn.Module:
        module = nn.ReLU()
        module.text = self.name
        return module

    def inputs(self) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(1, 2, 4, 4),)


@dataclass(frozen=True)
class Row:
    kinds: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"branches": list(self.kinds)}


class Boxes:
    """Rows of 5 to 40 boxes of 45 kinds."""

    count = 45

    def of(self, row: Row) -> list[Box]:
        return [Box(f"kind {kind}") for kind in row.kinds]

    def whole(self, row: Row) -> Box:
        return Box("row " + " ".join(map(str, row.kinds)))

    def every(self) -> list[Box]:
        return [Box(f"kind {kind}") for kind in range(self.count)]

    def random(self, generator: np.random.Generator) -> Row:
        kinds = generator.integers(self.count, size=generator.integers(5, 40))
        return Row(tuple(int(kind) for kind in kinds))

    def read(self, plain: dict[str, Any]) -> Row:
        return Row(tuple(plain["branches"]))


class Machine:
    """Rows take 2 ms, 0.8 of the sum of their boxes, and 0.1 ms for each.

    With a drift, all of it is slower at two of three times that modules are made ready.
    """

    def __init__(self, *, drift: float = 0.0, name: str = "here") -> None:
        self.kinds = np.random.default_rng(5).uniform(0.5e-3, 4e-3, Boxes.count)
        self.drift, self.name, self.turns = drift, name, 0
        self.asked: list[str] = []

    def ready(self, modules):
        self.turns += 1
        return [partial(self.run, module.text) for module, _ in modules]

    def run(self, name: str) -> float:
        self.asked.append(name)
        return self.truth(name) * (1 + self.drift * (self.turns % 3))

    def truth(self, name: str) -> float:
        kinds = [int(kind) for kind in name.split()[1:]]
        if name.startswith("kind"):
            return float(self.kinds[kinds[0]])
        return 2e-3 + 0.8 * float(self.kinds[kinds].sum()) + 1e-4 * len(kinds)

    @property
    def facts(self) -> dict[str, Any]:
        return {"runtime": "made", "machine": self.name}


def made(folder, machine: Machine, **changes) -> LatencyTable:
    source = TableSource(runtime=machine, **{"networks": 20, "rounds": 3, **changes})
    return source(Boxes(), folder)


def errors(table: LatencyTable, machine: Machine, count: int = 30) -> np.ndarray:
    """Shares, on rows that the table has not seen."""
    boxes, generator = Boxes(), np.random.default_rng(1)
    rows = [boxes.random(generator) for _ in range(count)]
    expected = [table([box.name for box in boxes.of(row)]).value for row in rows]
    return np.array(expected) / [machine.truth(boxes.whole(row).name) for row in rows] - 1


def test_what_the_whole_adds_to_its_parts_is_found(tmp_path):
    table = made(tmp_path, machine := Machine())
    assert np.abs(errors(table, machine)).max() < 1e-6
    assert table.correction.error < 1e-6
    assert table.correction.weights[:2] == pytest.approx([2e-3, 0.8], rel=1e-3)


def test_parts_that_were_measured_while_the_machine_was_slow_are_put_right(tmp_path):
    """Each group by its own factor, which the reference has too."""
    slow = Machine(drift=0.3)
    assert Boxes.count > 2 * GROUP
    table = made(tmp_path, slow)
    ratios = [part.seconds / slow.truth(name) for name, part in table.parts.items()]
    assert max(ratios) == pytest.approx(min(ratios))


def test_a_table_is_kept_and_read_again(tmp_path):
    first = made(tmp_path, machine := Machine())
    asked = len(machine.asked)
    again = made(tmp_path, machine)
    assert len(machine.asked) == asked and again == first
    named = made(tmp_path / "elsewhere", machine, table=str(tmp_path / FILE))
    assert named == first


def damaged(plain: dict[str, Any]) -> None:
    plain["parts"] = 3


def of_the_future(plain: dict[str, Any]) -> None:
    plain["version"] = 99


def of_fewer(plain: dict[str, Any]) -> None:
    plain["parts"].popitem()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, "is no table of latencies"),
        (of_the_future, "version 99"),
        (of_fewer, "lacks 1 parts, such as `kind 44`"),
    ],
)
def test_a_file_that_is_no_table_of_this_space_is_refused(tmp_path, change, said):
    made(tmp_path, Machine())
    plain = json.loads((tmp_path / FILE).read_text())
    change(plain)
    (tmp_path / FILE).write_text(json.dumps(plain))
    with pytest.raises(ConfigError, match=said):
        made(tmp_path, Machine(), table=str(tmp_path / FILE))


def test_a_measurement_that_was_killed_goes_on(tmp_path):
    """No part is timed twice."""
    machine = Machine()

    def killed(text: str) -> None:
        if text.startswith("40 of"):
            raise KeyboardInterrupt

    source = TableSource(runtime=machine, networks=20, rounds=3)
    with pytest.raises(KeyboardInterrupt):
        source(Boxes(), tmp_path, tell=killed)
    before = {name for name in machine.asked if name.startswith("kind")}
    machine.asked.clear()
    table = source(Boxes(), tmp_path)
    after = {name for name in machine.asked if name.startswith("kind")}
    assert len(before) == 40 and len(after) == 5 and not before & after
    assert table == made(tmp_path / "whole", Machine())
    assert [path.name for path in tmp_path.glob("*.json")] == [str(FILE)]


def test_a_table_of_another_machine_is_refused(tmp_path):
    made(tmp_path, Machine(name="there"))
    said = "measured elsewhere: machine was 'there', and is 'here'"
    with pytest.raises(ConfigError, match=said):
        made(tmp_path, Machine(), table=str(tmp_path / FILE))
    with pytest.raises(ConfigError, match="there is no such file"):
        made(tmp_path, Machine(), table=str(tmp_path / "none.json"))


def test_a_measurement_is_beside_the_reference_and_is_learnt_from(tmp_path):
    """The machine is half as fast by now: the figure is as it was."""
    table, boxes = made(tmp_path, Machine()), Boxes()
    later = Machine()
    later.run = lambda name: 2 * later.truth(name)
    model = LatencyModel(table, boxes, later, rounds=2)
    row = Row(tuple([7] * 60))
    truth = 1e3 * later.truth(boxes.whole(row).name)
    assert model.measured(row) == pytest.approx(truth)
    model.learn(row, 1.3 * truth)
    assert model.estimate(row).value > truth * (1 + 1e-6)
    assert len(model.table.wholes) == 21 and len(table.wholes) == 20


def test_what_is_far_from_all_that_was_measured_is_known_less():
    generator = np.random.default_rng(0)
    sums, kernels = generator.uniform(10e-3, 20e-3, 60), generator.integers(30, 60, 60)
    rows = np.stack([np.ones(60), sums, kernels, generator.uniform(1e6, 2e6, 60)], axis=1)
    fit = fitted(rows, 1e-3 + sums * generator.normal(1, 0.03, 60))
    near, far = rows.mean(0, keepdims=True), rows.mean(0) * [[1, 4, 1, 1], [1, 0.3, 1, 1]]
    assert 0.01 < fit.error < 0.06 and (fit.weights >= 0).all()
    assert (1.05 * fit.band(near) / fit(near) < fit.band(far) / fit(far)).all()
    scaled = rows / fit(rows)[:, None]
    leverage = np.einsum("ni,ij,nj->n", scaled, fit.spread, scaled)
    assert leverage.mean() == pytest.approx(4 / 60, rel=0.05)  # all four directions
    inside = np.abs(fit(rows) - (1e-3 + sums)) < fit.band(rows)
    assert inside.mean() > 0.9


def test_too_few_networks_correct_nothing():
    with pytest.raises(ConfigError, match="3 whole networks cannot correct"):
        fitted(np.ones((3, 4)), [1.0, 2.0, 3.0])


CONVOLVED = [
    (
        nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)).eval(),
        (torch.ones(1, 2, 8, 8),),
    ),
    (nn.Bilinear(4, 4, 2), (torch.ones(1, 4), torch.ones(1, 4))),
]


def test_torch_times_modules():
    runtime = Torch(device="cpu", threads=1)
    assert all(0 < run() < 1 for run in runtime.ready(CONVOLVED))
    assert runtime.facts["threads"] == 1 and runtime.facts["runtime"] == "torch"


def test_onnx_runtime_times_modules_that_are_exported_together():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    runtime = OnnxRuntime(threads=1)
    assert all(0 < run() < 1 for run in runtime.ready(CONVOLVED))
    assert {"processor", "onnxruntime"} <= {*runtime.facts}
    lost = [(nn.GRU(2, 2), (torch.ones(2, 1, 2), torch.ones(2, 1, 2)))]
    with pytest.raises((ExportError, RuntimeError)):
        runtime.ready(lost)


def test_a_command_gets_a_file_and_gives_milliseconds(tmp_path):
    pytest.importorskip("onnxscript")
    program = tmp_path / "time.py"
    program.write_text(
        "import sys, onnx\n"
        "graph = onnx.load(sys.argv[1]).graph\n"
        "print('some words', 1.5 * len(graph.input))\n"
    )
    runtime = Command(command=f"{sys.executable} {program} {{file}}", where="a phone")
    assert [run() for run in runtime.ready(CONVOLVED)] == [1.5e-3, 3e-3]
    assert runtime.facts["where"] == "a phone"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('no number')", "said 'no number'; it is to print milliseconds"),
        ("print(-3)", "said '-3'"),
        ("raise SystemExit('broken')", "ended with 1 and said 'broken'"),
    ],
)
def test_what_a_command_does_wrong_is_said(tmp_path, program, said):
    path = tmp_path / "time.py"
    path.write_text(program)
    runtime = Command(command=f"{sys.executable} {path} {{file}}", where="a phone")
    with pytest.raises(ConfigError, match=re.escape(said)):
        runtime._milliseconds(tmp_path / "network.onnx")


def test_a_command_that_is_not_there_or_takes_no_file():
    with pytest.raises(ConfigError, match="does not say where the file belongs"):
        Command(command="time", where="a phone")
    with pytest.raises(ConfigError, match="cannot be run"):
        Command(command="no-such-program {file}", where="x")._milliseconds("a.onnx")
