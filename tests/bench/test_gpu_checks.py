"""The checks of a GPU, on a CPU: what they type fits, and they go on where they stopped."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from segsuite.bench import gpu_checks
from segsuite.bench.gpu_checks import choose, fixed_milliseconds, folder_of, parts, run
from segsuite.core.errors import ConfigError
from segsuite.engine.launch.entry_point import compose
from tests.engine.entry_points import called


@pytest.mark.parametrize("tiny", [False, True])
def test_whatever_is_typed_composes(tiny):
    for part in parts("somewhere").values():
        for module, *typed in part.commands.values():
            if module != "pytest":
                more = part.tiny if tiny else ()
                assert compose(module.rpartition(".")[2], [*typed, *more]) is not None
            else:
                assert all(Path(one).is_file() for one in typed if one.startswith("tests/"))


def faked(folder: Path, codes: dict[str, int] | None = None):
    """A runner that leaves a result, and what it was given."""
    given: list[list[str]] = []

    def runner(typed):
        given.append(list(typed))
        (out,) = (Path(o.partition("=")[2]) for o in typed if o.startswith("hydra.run.dir="))
        if code := (codes or {}).get(out.name, 0):
            return code
        out.mkdir(parents=True)
        gmacs = int(out.name.split("_")[0]) ** 2 / 1e4 if out.name[0].isdigit() else 1.0
        metrics = {"gmacs": {"value": gmacs}, "labels_ms": {"value": 3.0 + 0.5 * gmacs}}
        (out / "result.json").write_text(
            json.dumps({"record": {"entries": [{"metrics": metrics}]}})
        )
        return 0

    return runner, given


def test_it_goes_on_where_it_stopped(tmp_path):
    chosen = choose(["fixed_time"], parts(None))
    told: list[str] = []
    runner, given = faked(tmp_path, {"512_eager": 1})
    kind = {"minutes": 9.0, "device": "cuda", "tell": told.append}
    run(chosen, tmp_path, runner=runner, **kind)
    assert len(given) == 6 and any("512_eager ended with 1" in line for line in told)
    assert all("device=cuda" in typed for typed in given)
    for device, trainer in (("cuda", "gpu"), ("cpu", "cpu")):
        runner, trained = faked(tmp_path)
        of = {"camvid": parts("somewhere")["camvid"]}
        run(of, tmp_path / device, runner=runner, **kind | {"device": device, "minutes": 99})
        assert [f"trainer.accelerator={trainer}" in typed for typed in trained] == [True, True]
    runner, given = faked(tmp_path)
    found = run(chosen, tmp_path, runner=runner, **kind)
    assert [typed[2] for typed in given] == ["size=[512,512]"], "only what had failed"
    fit = found["fixed_time"]["fit"]["eager"]
    assert fit["fixed_ms"] == pytest.approx(3.0) and fit["ms_per_gmac"] == pytest.approx(0.5)
    assert json.loads((tmp_path / "cuda" / gpu_checks.RESULTS).read_text()) == found
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "cuda").rename(moved / "cuda")
    run(chosen, moved, runner=runner, **kind)
    assert told[-1] == "fixed_time: done before" and len(given) == 1
    assert not any("anew" in line for line in told), "where results lie is no matter"


def test_results_of_each_device_live_in_folders_of_their_own(tmp_path):
    chosen = choose(["losses"], parts(None))
    kind = {"minutes": 9.0, "tell": lambda text: None}
    ways = [("cuda", False), ("cpu", True), ("cpu", False), ("cuda", True)]
    for device, tiny in ways:
        runner, given = faked(tmp_path)
        found = run(chosen, tmp_path, runner=runner, device=device, tiny=tiny, **kind)
        typed = found["losses"]["commands"]["losses"]["typed"]
        assert given == [typed] and f"device={device}" in typed
        assert ("losses.classes=[30]" in typed) == tiny
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["cpu", "cpu-tiny", "cuda", "cuda-tiny"]
    for device, tiny in ways:
        runner, given = faked(tmp_path)
        run(chosen, tmp_path, runner=runner, device=device, tiny=tiny, **kind)
        assert given == [], "nothing was dropped for another device"


def test_a_finished_training_stays_where_another_data_path_is_typed(tmp_path):
    told: list[str] = []
    kind = {"minutes": 90.0, "device": "cuda", "tell": told.append}
    runner, _ = faked(tmp_path)
    before = run(choose(["camvid"], parts("here")), tmp_path, runner=runner, **kind)
    runner, given = faked(tmp_path)
    found = run(choose(["camvid"], parts("there")), tmp_path, runner=runner, **kind)
    assert found == before and given == []
    said = "camvid: segvit_vitt was done before with data.root=here; type another OUT to run it"
    assert any(line.startswith(said) for line in told)


@pytest.mark.parametrize(
    ("device", "ways"), [("cpu", ["false", "true"]), ("cuda", ["false", "true", "graphs"])]
)
def test_a_cpu_has_no_graphs(tmp_path, device, ways):
    runner, given = faked(tmp_path)
    kind = {"runner": runner, "minutes": 9.0, "device": device, "tell": lambda text: None}
    found = run(choose(["hybrids"], parts(None)), tmp_path, **kind)
    assert [o.partition("=")[2] for line in given for o in line if o[:8] == "compile="] == ways
    assert ("graphs" in found["hybrids"]["commands"]) == (device == "cuda")


def test_a_part_of_which_a_cpu_can_run_nothing_is_said(tmp_path):
    told: list[str] = []
    runner, given = faked(tmp_path)
    kind = {"runner": runner, "minutes": 9.0, "device": "cpu", "tell": told.append}
    assert run(choose(["tests"], parts(None)), tmp_path, **kind) == {}
    assert given == [] and told == ["tests: needs a GPU; left out"]


def test_all_tests_that_need_a_gpu_are_run_and_no_others():
    (typed,) = parts(None)["tests"].commands.values()
    assert typed[typed.index("-m") :][:2] == ("-m", "gpu")
    marked = {str(p) for p in Path("tests").rglob("*.py") if "@pytest.mark.gpu\n" in p.read_text()}
    assert marked == {one for one in typed if one.startswith("tests/")}


@pytest.mark.parametrize(("skipped", "done"), [(3, False), (1, True)])
def test_tests_that_were_all_skipped_show_nothing(tmp_path, skipped, done):
    def runner(typed):
        (path,) = (Path(o.partition("=")[2]) for o in typed if o.startswith("--junit-xml="))
        path.parent.mkdir(parents=True)
        path.write_text(f'<a><testsuite tests="3" skipped="{skipped}"/></a>')
        return 0

    told: list[str] = []
    kind = {"runner": runner, "minutes": 9.0, "device": "cuda", "tell": told.append}
    own = run(choose(["tests"], parts(None)), tmp_path, **kind)["tests"]["commands"]
    assert bool(own) == done
    if done:
        assert own["tests"]["result"] == {"passed": 2, "skipped": 1}
    else:
        assert any("passed no test, and skipped 3" in line for line in told)


def test_parts_that_take_too_long_are_left_out_and_said(tmp_path):
    told: list[str] = []
    runner, given = faked(tmp_path)
    chosen = {name: part for name, part in parts(None).items() if name in ("hybrids", "losses")}
    run(chosen, tmp_path, runner=runner, minutes=2.0, device="cuda", tell=told.append)
    assert told[0].startswith("hybrids: takes 4.0 minutes, and 2.0 are left")
    assert len(given) == 1 and "probe=losses" in given[0]


def test_the_fixed_part_is_a_least_squares_fit():
    assert fixed_milliseconds([(1, 3), (2, 5), (4, 9)]) == pytest.approx((1.0, 2.0))


def test_a_part_that_is_not_there():
    with pytest.raises(ConfigError, match=r"hybrid is no part.*did you mean `hybrids`"):
        choose(["hybrid"], parts(None))
    assert "camvid" in parts("somewhere") and "camvid" not in choose([], parts(None))


def test_a_benchmark_runs_on_a_cpu(tmp_path, capfd):
    """In this process, as the script runs it in one of its own."""

    def runner(typed):
        return called(import_module(typed[0]).main, *typed[1:])

    chosen = choose(["hybrids"], parts(None))
    only = {
        "hybrids": gpu_checks.Part(
            "", 1, {"eager": chosen["hybrids"].commands["eager"]}, chosen["hybrids"].tiny
        )
    }
    found = run(only, tmp_path, runner=runner, minutes=1, device="cpu", tiny=True)
    entries = found["hybrids"]["commands"]["eager"]["result"]["record"]["entries"]
    assert len(entries) == 4 and all(e["metrics"]["labels_ms"]["value"] > 0 for e in entries)


@pytest.fixture
def script(monkeypatch):
    folder = Path(gpu_checks.__file__).parents[2] / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "gpu_checks", raising=False)
    return import_module("gpu_checks")


def test_the_script_lists_what_there_is(script, capsys):
    script.main(["list"])
    assert capsys.readouterr().out.count("minutes") == len(parts(None))
    with pytest.raises(SystemExit, match="hybrid is no part"):
        script.main(["run", "out", "hybrid", "--device", "cpu"])


def test_the_script_counts_what_the_device_can_run(script, tmp_path, monkeypatch, capsys):
    runner, _ = faked(tmp_path)
    monkeypatch.setattr(script, "command", runner)
    for names, said, failed in ((["hybrids"], "2 of 2", False), (["tests"], "0 of 0", True)):
        with pytest.raises(SystemExit) as ended:
            script.main(["run", str(tmp_path), *names, "--device", "cpu"])
        results = folder_of(tmp_path, "cpu", tiny=False) / gpu_checks.RESULTS
        assert capsys.readouterr().out.endswith(f"{said} results in {results}\n")
        assert ended.value.code == failed and results.is_file()
