"""One checkpoint at several numbers of tokens."""

import json

import pytest
import torch

from segsuite.bench.budgets import Setting, at
from segsuite.benchmark import main as benchmark
from segsuite.core.checkpoint import network_from_checkpoint
from segsuite.core.errors import ConfigError
from segsuite.core.results import read
from segsuite.methods.segvit.slots import Windows
from tests.engine.entry_points import called
from tests.segvit.made import made

HYBRID = (
    *("experiment=cts_dtop_vitt_static", "method/sharing=deviation", "method.sharing.windows=3"),
    *("method.pruning.after=[2]", "method.pruning.budgets=[8]", "data.crop_size=[64,128]"),
)
SCENES = (
    *("data=scenes", "data.crop_size=[64,128]", "size=[64,128]", "data.num_workers=0"),
    *("data.reader.lengths={train: 2, val: 3}", "images=2", "rounds=2", "warm_up=0"),
    *("device=cpu", "probe=budgets"),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("made") / "a.ckpt"
    return f"checkpoints=[{made(path, *HYBRID)}]"


def test_each_setting_is_that_of_a_network_made_so(checkpoint, tmp_path, capfd):
    grid = ("probe.windows=[0,2]", "probe.large_windows=[0,1]", "probe.budgets=[0.5,1.0]")
    folder = f"hydra.run.dir={tmp_path}"
    assert called(benchmark, checkpoint, *SCENES, *grid, folder) == 0
    out = capfd.readouterr().out
    assert "2 rounds are too few to tell times apart" in out
    last = json.loads(out.splitlines()[-1])
    rows = json.loads((tmp_path / "result.json").read_text())["each"]
    assert [row["tokens"] for row in rows] == [
        *([32, 4], [32, 8], [17, 4], [17, 8]),
        *([26, 4], [26, 8], [11, 4], [11, 8]),
    ]
    least, most = rows[6], rows[1]
    assert least["gmacs"] < most["gmacs"] and all(0 < row["miou"] < 1 for row in rows)
    first = last["fastest"]["overrides"][0]
    assert first in ("method.sharing.windows=0", "method.sharing.windows=2")
    best = max(row["miou"] for row in rows)
    assert last["fastest"]["miou"] >= best - 0.005 and last["front"]
    assert (tmp_path / "budgets.png").stat().st_size > 5000
    entries = read(tmp_path / "result.json").entries
    assert len(entries) == 8 and not any(entry.settings["trained"] for entry in entries)


def test_budgets_that_keep_as_many_tokens_are_one_setting(checkpoint, tmp_path, capfd):
    grid = ("probe.windows=[2]", "probe.budgets=[0.5,3.25,4.0]")  # of 8; 26 tokens are left
    folder = f"hydra.run.dir={tmp_path}"
    assert called(benchmark, checkpoint, *SCENES, *grid, folder) == 0
    rows = json.loads((tmp_path / "result.json").read_text())["each"]
    assert [row["tokens"] for row in rows] == [[26, 4], [26, 26]]
    said = "".join(capfd.readouterr())
    assert "left out, since as many tokens stay with others: windows=2" in said


def test_a_setting_is_a_network_that_was_made_so(checkpoint, tmp_path):
    network, _ = network_from_checkpoint(checkpoint[len("checkpoints=[") : -1])
    given = ("method.sharing.windows=2", "method.sharing.large_windows=1")
    path = made(tmp_path / "b.ckpt", *HYBRID, *given, "method.pruning.budgets=[0.125]")
    expected, _ = network_from_checkpoint(str(path))
    images = torch.randint(256, (2, 3, 64, 128), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = at(network.eval(), Setting(2, 1, (0.125,))).predict(images)
        wanted = expected.eval().predict(images)
    assert found.trace.counts()[0].tolist() == [32 - 6 - 15, 4]
    assert torch.equal(found.scores((64, 128)), wanted.scores((64, 128)))
    assert network.sharing.counts(32) == Windows(3), "what it was made of stays as it was"
    assert at(network, Setting(2, 1, None)).head.queries is network.head.queries
    with pytest.raises(ConfigError, match="at most 4"):
        network.sharing.choose(5, 1)


def test_what_is_told_to_type_makes_the_network_that_was_measured(tmp_path):
    """Counts of tokens give way to windows, and 1.0 is no count."""
    setting = Setting(2, 1, (1.0,))
    trained = Setting(4, 0, (0.25,))
    given = setting.overrides(trained, counts_tokens=True)
    assert trained.overrides(trained, counts_tokens=True) == []
    given = ("method.sharing.tokens=20", *given)
    path = made(tmp_path / "b.ckpt", *HYBRID, *given)
    network, _ = network_from_checkpoint(str(path))
    with torch.no_grad():
        trace = network.eval().predict(torch.zeros(1, 3, 64, 128)).trace
    assert trace.counts()[0].tolist() == [32 - 6 - 15, 32 - 6 - 15]


def test_mistakes(checkpoint, tmp_path, capfd):
    dense = f"checkpoints=[{made(tmp_path / 'b.ckpt', 'experiment=segvit_vitt')}]"
    dynamic = ("method.pruning.mode=dynamic", "method.sharing.windows=1")
    unfixed = made(tmp_path / "c.ckpt", *HYBRID, *dynamic)
    for given, said in (
        ((), "probe=budgets takes one checkpoint and data"),
        ((dense, *SCENES), "neither shares nor prunes tokens"),
        ((f"checkpoints=[{unfixed}]", *SCENES), "method.pruning.mode=dynamic"),
        ((checkpoint, *SCENES, "probe.settings.batch_sizes=[1,8]"), "one front is of one batch"),
        ((checkpoint, *SCENES, "probe.windows=[9]"), "windows=9 does not fit"),
        ((checkpoint, *SCENES, "probe.windows=[5]", "probe.large_windows=[1]"), "at most 4"),
    ):
        typed = (*given, "probe=budgets", f"paths.logs={tmp_path / 'logs'}")
        assert called(benchmark, *typed) == 2
        assert said in " ".join(capfd.readouterr().err.split())
