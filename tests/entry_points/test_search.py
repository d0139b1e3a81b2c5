"""`segsuite.search` from a supernet to a network that is trained, killed on the way."""

import json
import re
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from segsuite.benchmark import main as benchmark
from segsuite.evaluate import main as evaluate
from segsuite.search import main as search
from segsuite.train import main as train
from tests.engine.entry_points import called, command, fork
from tests.engine.wandb_files import quiet, read, runs

pytest.importorskip("pymoo")
SCENES = (
    *("data=scenes", "data.crop_size=[64,64]", "data.batch_size=2", "data.num_workers=0"),
    *("data.reader.lengths={train: 8, val: 2}", "data.held_out=0.5"),
)
SMALL = ("method.space.layers=5", "method.space.filters=2", "callbacks.images=null")
SHORT = ("trainer=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1")
SEARCH = ("evaluations=9", "norm_images=2", "scored_images=2", "strategy.population=4")
TYPED = ("device=cpu", "batch_size=2", "name=found", "baselines=[]", *SEARCH)


@pytest.fixture(autouse=True)
def few_drawn(monkeypatch):
    """Networks at random say where hypervolumes begin; fewer say so more roughly, in less time."""
    monkeypatch.setattr("segsuite.searching.launch._DRAWN", 4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A tiny supernet, trained for an iteration."""
    logs = tmp_path_factory.mktemp("logs")
    given = ("method=hyctas_supernet", "name=super", *SCENES, *SMALL, *SHORT, f"paths.logs={logs}")
    assert called(train, *given) == 0
    (checkpoint,) = logs.glob("train/super/*/checkpoints/last.ckpt")
    return checkpoint


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_search_that_is_killed_goes_on_to_the_same_front(trained, tmp_path, capfd, monkeypatch):
    quiet(monkeypatch)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = (f"ckpt_path={trained}", *TYPED, f"paths.logs={whole}", "logger=wandb")
    assert called(search, *given, "baselines=[hyctas_s_cityscapes,yolo26n_cityscapes]") == 0
    told = capfd.readouterr().err
    assert told.count("measuring hyctas_s_cityscapes for the plot") == 1
    assert ("yolo26n_cityscapes is not in the plot" in told) == (find_spec("ultralytics") is None)
    process = fork(command("search", f"ckpt_path={trained}", *TYPED, f"paths.logs={parts}"))
    while not any(len(lines(p)) > 4 for p in parts.rglob("archive.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    (archive,) = parts.rglob("archive.jsonl")
    before = archive.read_bytes().splitlines()[:4]
    resumed = (f"ckpt_path={trained}", *TYPED, f"paths.logs={parts}", "resume=true")
    assert called(search, *resumed) == 0
    assert "going on with" in capfd.readouterr().err
    assert archive.read_bytes().splitlines()[:4] == before
    keys = [
        [entry.get("key") for entry in lines(next(folder.rglob("archive.jsonl")))]
        for folder in (whole, parts)
    ]
    assert keys[0] == keys[1] and len(keys[0]) == 10
    fronts = [
        json.loads(next(folder.rglob("result.json")).read_text())["front"]
        for folder in (whole, parts)
    ]
    assert fronts[0] == fronts[1] and fronts[0]
    (of_wandb,) = map(read, runs(whole))
    (row,) = of_wandb["rows"].values()
    assert of_wandb["job_type"] == "search" and of_wandb["tags"] == ["hyctas"]
    assert row["tables/record.nrows"] == len(fronts[0]) and "tables/progress.nrows" in row
    assert {"plots/front.count", "plots/architectures.count"} <= set(row)
    run = next(parts.rglob("genotypes")).parent
    assert {"progress.csv", "front.png", "architectures.png"} <= {p.name for p in run.iterdir()}
    _goes_on_from_its_weights(run, fronts[0][-1], tmp_path, capfd)


def _goes_on_from_its_weights(run: Path, best: dict, folder: Path, capfd) -> None:
    """The architecture by itself, as the README has it: evaluated and trained."""
    weights = run / "weights" / f"{best['key']}.ckpt"
    given = (f"ckpt_path={weights}", "trainer=cpu", f"paths.logs={folder}", "name=seen")
    assert called(evaluate, *given, "data.num_workers=0") == 0
    chosen = (f"hydra.searchpath=[file://{run / 'genotypes'}]", "method/genotype=large")
    kind = ("method=hyctas", "name=again", *chosen, f"init_from={run / 'weights' / 'large.ckpt'}")
    given = (*kind, *SCENES, *SHORT, "callbacks.images=null", f"paths.logs={folder}")
    capfd.readouterr()
    assert called(train, *given) == 0
    told = " ".join(capfd.readouterr().out.split())  # one at 1/8 has no auxiliary heads
    assert re.search(r"took \d+ weights from .*large.ckpt .*left fresh: (nothing|auxiliary)", told)


def test_latency_is_predicted_and_measured_where_it_decides(trained, tmp_path, capfd):
    """By a table that a probe made before: of the same machine and size, and of no other."""
    table = tmp_path / "bench" / "latency.json"
    kind = ("probe=latency_table", f"checkpoints=[{trained}]", "size=[64,64]", "device=cpu")
    short = ("rounds=1", "probe.source.networks=8", "probe.unseen=3")
    assert called(benchmark, *kind, *short, f"hydra.run.dir={table.parent}") == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["whole_networks"] == 11 and told["parts"] > 100 and told["mean_error"] < 2
    timed = ("objectives=[miou,latency]", "latency.rounds=1", "method/search=random")
    given = (f"ckpt_path={trained}", *TYPED[:-1], f"paths.logs={tmp_path}", *timed)
    given = (*given, "evaluations=4", f"latency.table={table}")
    assert called(search, *given) == 0
    result = json.loads(next(tmp_path.glob("search/found/*/result.json")).read_text())
    assert result["front"] and all(one["latency"] > 0 for one in result["front"])
    capfd.readouterr()
    assert called(search, *given, "size=[64,96]") == 2
    assert "measured at another size" in " ".join(capfd.readouterr().err.split())
    assert called(search, *given, "runtime.threads=2") == 2
    assert "threads was 1, and is 2" in " ".join(capfd.readouterr().err.split())


def test_a_supernet_is_judged_by_networks_and_by_more_images(trained, tmp_path, capfd):
    """Networks with the supernet's own weights, since this is no training."""
    given = (f"ckpt_path={trained}", *TYPED, f"paths.logs={tmp_path}", "method/search=random")
    given = tuple(key for key in given if not key.startswith("strategy"))
    assert called(search, *given, "objectives=[miou,gmacs,parameters]", "strategy.batch=9") == 0
    networks = [p for p in tmp_path.rglob("weights/g*.ckpt") if not p.is_symlink()][:3]
    assert len(networks) == 3
    kind = ("device=cpu", "size=[64,64]", f"paths.logs={tmp_path}", *SCENES)
    few = ("probe.norm_images=2", "probe.scored_images=2", "probe.batch_size=2")
    listed = ",".join(map(str, [trained, *networks]))
    capfd.readouterr()
    assert called(benchmark, "probe=rank_correlation", f"checkpoints=[{listed}]", *kind, *few) == 0
    out = capfd.readouterr().out
    told = json.loads(out.splitlines()[-1])
    assert told["networks"] == 3 and "not trained by itself" in out
    (record,) = tmp_path.glob("benchmark/*/*/result.json")
    each = json.loads(record.read_text())["each"]
    front = json.loads(next(tmp_path.glob("search/found/*/result.json")).read_text())["front"]
    known = {one["key"]: one["miou"] for one in front}
    assert {one["supernet_miou"] for one in each} <= {*known.values()}  # as the search had it
    images = ("probe.few=[2,1]", "probe.many=[4,2]", "probe.batch_size=2", "probe.architectures=3")
    kind = (*kind, *images, f"checkpoints=[{trained}]")
    assert called(benchmark, "probe=estimate_cost", *kind) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["images"] == {"few": [2, 1], "many": [4, 2]} and 0 < told["share_of_time"] < 1.5
    assert (
        called(benchmark, "probe=rank_correlation", f"checkpoints=[{networks[0]}]", *kind[:4]) == 2
    )
    assert "takes checkpoints=[SUPERNET,A,B,C,...]" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("objectives=[miou,joules]",), "`joules` is no metric that can be searched for"),
        (
            ("limits.gmacs=1e-9", "strategy.batch=5", "method/search=random"),
            "no architecture keeps {'gmacs': 1e-09} (5 tried)",
        ),
        (("latency.rounds=3",), "latency.rounds=3 would change nothing, since latency is neither"),
        (("data.held_out=0",), "held out to choose by; train with data.held_out=0.1"),
        (("data.held_out=0.75",), "2 of 6 held-out images are among those that"),
        (("method.space.widths=[4,12]",), "does not fit Supernet"),
        (("baselines=hyctas_s_cityscapes",), "type baselines=[hyctas_s_cityscapes]"),
        (("baselines=[hyctas_x_cityscapes]",), "did you mean `hyctas_s_cityscapes`?"),
        (("batch_size=1",), "batches of 2 images or more"),
        (("size=[64,72]",), "multiples of 32"),
        (("method/search=annealing",), "known: evolution, nsga2, predictor, random"),
    ],
)
def test_mistakes_end_in_one_paragraph(trained, tmp_path, capfd, monkeypatch, typed, said):
    monkeypatch.setattr("segsuite.searching.search._STALLED", 5)
    kind = tuple(
        key for key in TYPED if not key.startswith("strategy") or "method" not in typed[-1]
    )
    assert called(search, f"ckpt_path={trained}", *kind, *typed, f"paths.logs={tmp_path}") == 2
    assert said in " ".join(capfd.readouterr().err.split())


def test_a_checkpoint_of_no_supernet_is_refused(tmp_path, capfd):
    given = ("method=hyctas", "method.genotype.filters=2", "name=one", "callbacks.images=null")
    assert called(train, *given, *SCENES, *SHORT, f"paths.logs={tmp_path}") == 0
    (checkpoint,) = tmp_path.glob("train/one/*/checkpoints/last.ckpt")
    assert called(search, f"ckpt_path={checkpoint}", *TYPED, f"paths.logs={tmp_path}") == 2
    assert "HybridSegmenter, which has no sub-networks" in " ".join(capfd.readouterr().err.split())


def test_an_archive_of_another_supernet_is_refused(trained, tmp_path, capfd):
    archive = tmp_path / "archive.jsonl"
    archive.write_text('{"version": 1, "supernet": "another"}\n')
    given = (f"ckpt_path={trained}", *TYPED, f"archive={archive}", f"paths.logs={tmp_path}")
    assert called(search, *given) == 2
    assert "is the archive of another search" in " ".join(capfd.readouterr().err.split())
