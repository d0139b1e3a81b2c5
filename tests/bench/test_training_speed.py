"""How fast networks are trained, and what part of it is waiting for data."""

import json
from pathlib import Path

import pytest

from segsuite.bench import training_speed
from segsuite.core import results
from tests.bench.test_benchmark_entry_point import run

SMALL = "method/backbone=lite0 method.backbone.weights=none method.separable=true"


def test_experiments_are_trained_in_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    slow = training_speed._Training.iterate
    order: list[str] = []

    def noted(self: training_speed._Training, batch: object) -> None:
        order.append(self.name[-1])
        slow(self, batch)

    monkeypatch.setattr(training_speed._Training, "iterate", noted)
    names = [f"essnet_camvid_lite0 {SMALL} method/loss={loss}" for loss in ("exact", "dense")]
    run(
        monkeypatch,
        tmp_path,
        *("probe=training", f"experiments={names}", "size=[64,64]", "probe.batch_size=2"),
        *("data=scenes", "data.num_workers=0", "rounds=2", "warm_up=1", "device=cpu"),
        *("probe.iterations=1", "threads=1"),
    )
    # Warm-up and two rounds, each with the data and ready made; and last, the peak of each.
    assert "".join(order) == "ttee" * 3 + "te"
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["name"] for row in last["rows"]] == names
    for row in last["rows"]:
        assert 0 < row["waiting_share"] < 1 and row["batch"] == 2 and row["workers"] == 0
        assert 0 < row["images_per_second"] == pytest.approx(2e3 / row["iteration_ms"])
        assert row["peak_megabytes"] > 3 * 64 * 64 * 2 * 4 / 1e6
    record = results.read(tmp_path / "result.json")
    assert record.kind == "training" and record.machine["device"] == "cpu"
    first, second = record.entries
    assert first.metrics["times_as_fast"].value == 1
    times = second.metrics["times_as_fast"]
    assert times.low <= times.value <= times.high and second.settings["size"] == [64, 64]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "type experiments=[NAME,NAME]"),
        (["experiments=[quickstart]", "checkpoints=[a.ckpt]"], "checkpoints=[a.ckpt] would change"),
        (["experiments=[quickstart]", "images=3"], "images=3 would change nothing"),
    ],
)
def test_what_it_does_not_look_at_is_refused(
    typed: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "probe=training", *typed)
    assert said in capsys.readouterr().err
