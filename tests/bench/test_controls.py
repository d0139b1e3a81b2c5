"""A method beside its controls: what was reached, how fast they are, and what follows."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segsuite.bench import controls
from segsuite.bench.controls import Beside, Difference, difference
from segsuite.bench.trained_groups import Group, groups_of
from segsuite.benchmark import main as benchmark
from segsuite.core.results import Entry, Metric, Record, read
from segsuite.engine.launch.entry_point import compose
from segsuite.measure.latency import Ratio
from tests.engine.entry_points import called
from tests.segvit.made import SMALL, made

pytest.importorskip("scipy")
SIZE = "data.crop_size=[64,128]"
METHOD = ("experiment=cts_dtop_vitt_fast", "method.pruning.after=[2]", SIZE)
CONTROL = ("experiment=segvit_vitt_patch32", SIZE)


def trained(folder: Path, score: float, *typed: str, seed: int = 0, kind: str = "train") -> Path:
    """What a training leaves behind."""
    (folder / "checkpoints").mkdir(parents=True)
    made(folder / "checkpoints" / "best.ckpt", *typed)
    cfg = compose("train", [*SMALL, "data.num_workers=0", *typed, f"seed={seed}"])
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    metrics = {"test/miou": Metric(value=score)}
    record = Record(
        kind=kind,
        name="controls",
        config=list(typed),
        machine={},
        commit=None,
        entries=[Entry(name="controls", metrics=metrics)],
    )
    (folder / "result.json").write_text(json.dumps({"record": record.to_dict()}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    for seed, (own, other) in enumerate(((0.30, 0.25), (0.32, 0.26))):
        trained(folder / f"m{seed}", own, *METHOD, seed=seed)
        trained(folder / f"c{seed}", other, *CONTROL, seed=seed)
    trained(folder / "sweep", 0.9, *CONTROL, kind="sweep")
    return folder


def test_a_method_is_judged(runs, tmp_path, capfd):
    given = ("probe=controls", f"probe.runs=[{runs}]", "probe.method=cts_dtop_vitt_fast")
    short = ("rounds=2", "warm_up=0", "images=2", "device=cpu", "batch_sizes=[1,2]")
    # What was typed of the method is part of a name, as `after` is here.
    named = ('probe.method="cts_dtop_vitt_fast method.pruning.after=[2]"',)
    folder = f"hydra.run.dir={tmp_path}"
    assert called(benchmark, *given[:2], *named, *short, folder) == 0
    out = capfd.readouterr().out
    last = json.loads(out.splitlines()[-1])
    assert last["pays"] == {"1": True, "2": True} and last["sure"].keys() == {"1", "2"}
    assert "pays: none of `segvit_vitt_patch32`" in " ".join(out.split())
    assert "2 rounds in turns, whole range, below 6 rounds of ratios" in " ".join(out.split())
    full = json.loads((tmp_path / "result.json").read_text())
    assert full["miou"]["segvit_vitt_patch32"] == {"0": 0.25, "1": 0.26}
    entries = {(e.name, e.settings["batch"]): e for e in read(tmp_path / "result.json").entries}
    assert len(entries) == 4
    one = entries["segvit_vitt_patch32", 1].metrics
    assert one["miou"].value == pytest.approx(0.255) and one["ms"].value > 0
    better = one["method_better"]
    assert better.low < better.value < better.high and better.value == pytest.approx(0.055)
    assert one["method_faster"].value > 0
    assert called(benchmark, *given, *short, f"paths.logs={tmp_path / 'l'}") == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "probe.method=cts_dtop_vitt_fast is none of the trainings; type one" in said


@pytest.mark.parametrize(
    ("mean", "half", "times", "verdict"),
    [
        (0.02, 0.01, 0.8, "pays: none of `c` is"),  # slower, but better
        (-0.02, 0.01, 1.2, "pays: none of `c` is"),  # worse, but faster
        (0.0001, 0.05, 0.3, "pays: none of `c` (how good is not beyond doubt) is"),
        (-0.02, 0.01, 1.001, "pays: none of `c` (how fast is not beyond doubt) is"),
        (
            0.02,
            None,
            1.001,
            "pays: none of `c` (how fast and how good are not beyond doubt, {}) is",
        ),
        (-0.02, 0.01, 0.8, "does not pay: `c` is"),
        (-0.02, 0.03, 0.8, "does not pay: `c` (how good is not beyond doubt) is"),
        (-0.02, None, 0.8, "does not pay: `c` (how good is not beyond doubt, {}) is"),
        (
            -0.02,
            None,
            0.97,
            "does not pay: `c` (how fast and how good are not beyond doubt, {}) is",
        ),
    ],
)
def test_a_control_wins_that_is_both_faster_and_better(mean, half, times, verdict):
    m, c = (Group(name, {0: 0.3, 1: 0.3}, "", {}) for name in "mc")
    better = Difference(mean) if half is None else Difference(mean, mean - half, mean + half)
    one = Beside(c, better, {1: Ratio(times, times - 0.05, times + 0.05)})
    latencies = {"m": {1: None}, "c": {1: None}}
    found = controls.Controls(m, [one], latencies, (1, 1), {}, None)
    said = verdict.format("by a single seed")
    assert found.verdict(1) == f"at batch 1 m {said} both faster and better"
    assert found.sure(1) == ("beyond doubt" not in verdict)


def test_several_winners_are_told_apart():
    groups = [Group(name, {0: 0.3, 1: 0.3}, "", {}) for name in ("m", "c", "d method.x=1")]
    better = Difference(-0.02, -0.03, -0.01)
    beside = [Beside(group, better, {1: Ratio(0.8, 0.7, 0.9)}) for group in groups[1:]]
    found = controls.Controls(groups[0], beside, {"m": {1: None}}, (1, 1), {}, None)
    assert found.verdict(1).endswith(
        "m does not pay: `c`, `d method.x=1` are each both faster and better"
    )
    beside[0] = Beside(groups[1], Difference(-0.02), {1: Ratio(0.8, 0.7, 0.9)})
    assert found.sure(1), "the other one wins beyond doubt"


def test_the_interval_is_welchs():
    """Of a textbook: t = 2.776 for four degrees of freedom, equal variances and numbers."""
    found = difference([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    half = 2.776 * (2 / 3 * 0.01) ** 0.5
    assert (found.mean, found.low, found.high) == pytest.approx(
        (-0.3, -0.3 - half, -0.3 + half), abs=1e-4
    )
    assert difference([0.3], [0.1, 0.2]).low is None


def test_trainings_that_no_comparison_should_hold_together(runs, tmp_path, capfd):
    longer = trained(tmp_path / "longer", 0.4, *CONTROL, "trainer.max_steps=7", seed=5)
    oftener = trained(tmp_path / "o", 0.4, *CONTROL, "trainer.val_check_interval=3", seed=7)
    again = trained(tmp_path / "again", 0.4, *CONTROL, seed=0)
    sliding = trained(tmp_path / "sliding", 0.4, *CONTROL, "inference=slide", seed=6)
    for typed, said in (
        ([], "probe=controls takes trainings and the one to judge"),
        ([runs / "sweep"], "holds no finished training with a test/miou"),
        ([runs, longer], "trained with trainer.max_steps=7"),
        ([runs, oftener], "trained with trainer.val_check_interval=3"),
        ([runs, sliding], "was trained with inference="),
        ([runs, again], "are of one network and one seed, 0"),
        ([runs / "m0", runs / "m1"], "alone, and nothing to put beside it"),
    ):
        listed = ",".join(map(str, typed))
        given = ("probe=controls", f"probe.runs=[{listed}]")
        named = 'probe.method="cts_dtop_vitt_fast method.pruning.after=[2]"'
        assert called(benchmark, *given, named, f"paths.logs={tmp_path / 'logs'}") == 2
        assert said in " ".join(capfd.readouterr().err.split())
    names = [group.name for group in groups_of([str(runs)])]
    assert names == ["cts_dtop_vitt_fast method.pruning.after=[2]", "segvit_vitt_patch32"]


def test_folders_of_seeds_may_be_called_alike(tmp_path, capfd):
    for name, score, typed in (("m", 0.3, METHOD), ("c", 0.2, CONTROL)):
        for seed in range(2):
            trained(tmp_path / name / f"seed{seed}", score, *typed, seed=seed)
    given = ("probe=controls", f"probe.runs=[{tmp_path}]", "rounds=1", "warm_up=0", "images=1")
    named = 'probe.method="cts_dtop_vitt_fast method.pruning.after=[2]"'
    logs = f"paths.logs={tmp_path / 'logs'}"
    assert called(benchmark, *given, named, "device=cpu", "batch_sizes=[1]", logs) == 0
    assert "segvit_vitt_patch32" in capfd.readouterr().out


def test_what_was_typed_of_all_is_part_of_no_name(tmp_path, caplog):
    own = ("method.head.layers=1", "method.backbone.weights=none")
    for name, typed in (("a", ()), ("b", own[:1])):
        trained(tmp_path / name, 0.3, *CONTROL, own[1], *typed)
    (tmp_path / "c" / "checkpoints").mkdir(parents=True)
    (tmp_path / "c" / "checkpoints" / "last.ckpt").touch()
    names = [group.name for group in groups_of([str(tmp_path)])]
    assert names == ["segvit_vitt_patch32", "segvit_vitt_patch32 method.head.layers=1"]
    assert f"not finished, and left out: {tmp_path / 'c'}" in caplog.text
