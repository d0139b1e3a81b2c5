"""The memory of training steps against classes and losses."""

import json
from pathlib import Path

import pytest
import torch

from segsuite.bench import loss_cost, probes
from segsuite.bench.loss_cost import Arm, LossRow, there
from segsuite.bench.memory_report import save_memory_plot
from segsuite.bench.training_memory import CompareMemory, StepMemory, state_bytes
from segsuite.core import results
from segsuite.core.errors import ConfigError
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.heeded import referred
from segsuite.engine.launch.help import options
from segsuite.measure.latency import Latency
from segsuite.ops.torch_cross_entropy import torch_has_it
from tests.bench.test_benchmark_entry_point import run


def test_the_largest_batch_is_the_last_that_fits() -> None:
    memory = StepMemory(constant=100.0, per_image=10.0)
    assert memory.largest_batch(155.0) == 5
    assert memory.peak(5) <= 155.0 < memory.peak(6)
    assert memory.largest_batch(50.0) == 0


@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 1),
        (lambda p: torch.optim.SGD(p, lr=0.1), 0),
        (lambda p: torch.optim.AdamW(p, lr=0.1), 2),
    ],
)
def test_what_optimisers_remember(make, numbers: int) -> None:
    weight = torch.nn.Parameter(torch.ones(100))
    weight.grad = torch.zeros(100)
    assert 0 <= state_bytes(make([weight])) - 4 * 100 * numbers <= 8  # Adam counts its steps


def test_a_loss_that_would_not_fit_leaves_no_ratio() -> None:
    """Not one to whichever loss comes first among those that fit."""
    times = {"b": Latency([2.0, 2.0]), "c": Latency([1.0, 1.0])}
    assert loss_cost._ratio(times, "a", "c") is None
    assert loss_cost._ratio(times, "b", "c").median == 2.0
    rows = [LossRow("a", 9, None, None, None), LossRow("c", 9, times["c"], None, 5)]
    assert "peak_megabytes" in rows[1].to_dict() and loss_cost.loss_table(rows, "").row_count == 2


def test_dense_logits_grow_with_classes_and_the_exact_loss_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(
        monkeypatch,
        tmp_path,
        *("probe=memory", "device=cpu", "memory.classes=[19,1284]", "memory.size=[128,128]"),
        *("memory.measured_at=[32,32]", "memory.experiment=essnet_cityscapes_mobilenetv2"),
        *('overrides=["method.separable=true"]', "memory.gigabytes=2", "memory.batch=8"),
    )
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {(row["arm"], row["classes"]): row for row in last["rows"]}
    per_image = {key: row["megabytes_per_image"] for key, row in rows.items()}
    exact = per_image["embeddings, exact", 1284]
    assert exact == pytest.approx(per_image["embeddings, exact", 19], rel=0.1)
    assert per_image["plain head, exact", 1284] < 1.1 * exact
    assert per_image["embeddings, knn", 1284] > 1.1 * exact
    # Three maps of 1,284 float32 numbers a pixel at 128x128.
    assert per_image["plain head, dense", 1284] - exact > 0.9 * 3 * 4 * 1284 * 128**2 / 1e6
    assert (
        rows["plain head, dense", 1284]["largest_batch"]
        < rows["embeddings, exact", 1284]["largest_batch"] / 4
    )
    assert (tmp_path / "memory.png").stat().st_size > 10_000
    figure = save_memory_plot(last, tmp_path / "again.png", title="")
    for axes, key in zip(figure.axes, ("peak_gigabytes", "largest_batch"), strict=True):
        low, high = axes.get_ylim()
        values = [row[key] for row in last["rows"]]
        assert low < min(values) and max(values) < high, "every point is inside"
    assert json.loads((tmp_path / "result.json").read_text())["rows"] == last["rows"]
    entries = results.read(tmp_path / "result.json").entries
    found = {(e.name, e.settings["classes"]): e.metrics["largest_batch"].value for e in entries}
    assert found == {key: row["largest_batch"] for key, row in rows.items()}


def test_tasks_that_need_instances_are_refused() -> None:
    kind = {"experiment": "panoptic_scenes", "classes": [19], "arms": {"a": []}}
    compare = CompareMemory(**kind, measured_at=[32, 32], device="cpu")
    with pytest.raises(ConfigError, match=r"arm `a` of probe.experiment=panoptic_scenes tells"):
        compare(data_overrides=(), tell=lambda text: None)


def test_losses_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run(
        monkeypatch,
        tmp_path,
        *("probe=losses", "device=cpu", "losses.classes=[700]", "losses.side=64"),
        *("~losses.arms.knn", "rounds=2", "warm_up=1"),
    )
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {row["arm"]: row for row in last["rows"]}
    arms = {"exact", "dense", "torch"} if torch_has_it() else {"exact", "dense"}
    assert last["pixels"] == 4096 and set(rows) == arms
    assert all(row["seconds"] > 0 for row in rows.values())
    peaks = {arm: row["peak_megabytes"] for arm, row in rows.items()}
    if None not in peaks.values():  # Linux says
        assert peaks["dense"] > 3 * 4 * 700 * 4096 / 1e6 * 0.9
        assert peaks["exact"] < 12 * 4 * 4096 / 1e6 + 8.4


def test_a_loss_that_this_torch_lacks_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torch.nn.functional.linear_cross_entropy", raising=False)
    arms = {name: Arm((f"method/loss={name}",)) for name in ("exact", "torch")}
    told: list[str] = []
    assert list(there(arms, told.append)) == ["exact"]
    assert told[0].startswith("without torch: torch ") and "method/loss=exact" in told[0]
    with pytest.raises(ConfigError, match="linear_cross_entropy"):
        there({"torch": arms["torch"]}, told.append)


OWN_LOSSES = """
from segsuite.methods.essnet.losses.dense import DenseLoss
class Mine(DenseLoss):
    pass
class OfSomethingElse:
    def __init__(self, *, regulariser, max_pixels, global_mean):
        pass
"""


def test_losses_of_ones_own_are_compared_where_they_are_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "theirs_of_losses.py").write_text(OWN_LOSSES)
    monkeypatch.syspath_prepend(str(tmp_path))
    small = ("losses.classes=[30]", "losses.side=8", "rounds=1", "warm_up=0", "device=cpu")

    def probe(name: str, *typed: str) -> None:
        arm = f"'method/loss=dense', 'method.loss._target_=theirs_of_losses.{name}'"
        arms = f"+losses.arms.mine=[{arm}]"
        # Each arm is a process of its own, and so a few seconds.
        names = ("exact", "knn", "dense", "torch")
        others = [f"~losses.arms.{one}" for one in names]
        run(monkeypatch, tmp_path, "probe=losses", *small, *others, arms, *typed)

    probe("Mine", "allow=[theirs_of_losses.]")
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert {row["arm"]: row["seconds"] for row in rows}["mine"] > 0
    for name, typed, said in (
        ("Mine", (), "allow="),
        ("OfSomethingElse", ("allow=[theirs_of_losses.]",), "method.loss is a OfSomethingElse"),
    ):
        with pytest.raises(SystemExit):
            probe(name, *typed)
        assert said in capsys.readouterr().err


def test_a_probe_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "probe=memroy")
    assert "did you mean `memory`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("memory", "experiments=[segvit_vitt]"),
        ("memory", "size=[64,64]"),
        ("losses", "data=camvid"),
        ("losses", "seed=3"),
        ("losses", "data.root=/nowhere"),
        ("runtimes", "size=[64,64]"),
        ("speed", "memory.batch=2"),
    ],
)
def test_a_key_that_the_probe_does_not_look_at_is_refused(
    name: str,
    typed: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, f"probe={name}", typed)
    assert f"{typed} would change nothing: probe={name}" in capsys.readouterr().err


def test_every_key_is_looked_at_by_some_probe() -> None:
    heeded = set(probes._OF_EVERY_RUN)
    for choice in options("probe"):
        cfg = compose("benchmark", [f"probe={choice}"])
        heeded |= {key.partition(".")[0] for key in referred(cfg, ("probe",))}
    assert set(compose("benchmark")) - {"hydra"} == heeded - {"hydra"}
