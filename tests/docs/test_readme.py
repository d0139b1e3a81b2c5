"""README.md keeps its word: its commands run, its names exist, nothing that exists is left out."""

import inspect
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from shutil import copy

import pytest
from omegaconf import OmegaConf

from segsuite import api
from segsuite.bench.budgets import TryBudgets
from segsuite.bench.comparison import CompareNetworks
from segsuite.bench.controls import JudgeControls
from segsuite.bench.training_memory import CompareMemory
from segsuite.core.config import CONF, as_today
from segsuite.engine import training
from segsuite.engine.launch.help import options
from segsuite.engine.launch.rebuild import network_of
from segsuite.exporting.runtimes import CompareRuntimes
from segsuite.nn.pixel_loss import PixelCrossEntropy
from tests.config.composed import composed
from tests.data.layouts import camvid, mask_of, write_image, write_mask
from tests.docs.readme import BLOCKS, CODE, ROOT, TEXT, choices, commands, marked, parsed
from tests.engine.entry_points import called
from tests.engine.test_video import film
from tests.reporting import made

SMALL = (
    *("debug=smoke", "trainer=cpu", "trainer.max_steps=1", "trainer.val_check_interval=1"),
    *("data.crop_size=[64,64]", "data.reader.expected=null", "data.num_workers=0"),
    *("method.backbone.dim=48", "method.backbone.depth=9", "callbacks.images=null"),
)


def said(entry_point: str, *words: str) -> list[pytest.param]:
    """README's commands through an entry point that hold all the words."""
    chosen = [c for c in commands() if parsed(c)[0] == entry_point and all(w in c for w in words)]
    assert chosen, f"README shows no segsuite.{entry_point} {' '.join(words)}"
    return [pytest.param(parsed(command)[1], id=command[10:70]) for command in chosen]


def replaced(arguments: list[str], **values: object) -> list[str]:
    """The arguments with other values for some keys (`data_root` is data.root)."""
    values = {key.replace("data_", "data."): value for key, value in values.items()}
    keys = [argument.split("=")[0] for argument in arguments]
    return [f"{k}={values[k]}" if k in values else a for k, a in zip(keys, arguments, strict=True)]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """A folder with a tiny CamVid, a tiny data set as README draws one, and photos."""
    root = tmp_path_factory.mktemp("real")
    camvid(root / "camvid")
    (root / "mine").mkdir()
    (table,) = re.findall(r"^ignore: 255\n(?:.+\n)+", "\n".join(BLOCKS), re.MULTILINE)
    (root / "mine" / "classes.yaml").write_text(table)
    for number in range(10):
        write_image(root / "mine" / "images" / f"{number:04}.jpg", seed=number)
        write_mask(root / "mine" / "masks" / f"{number:04}.png", mask_of([0, 1, 255]))
        write_image(root / "photos" / f"{number}.jpg", (20, 30), seed=number)
    return root


@pytest.fixture(scope="module")
def checkpoint(real) -> Path:
    """What README's training on CamVid leaves behind, made small."""
    (line,) = [
        c
        for c in said("train", "data=camvid", "data.root=")
        if not {"resume=true", "sweep=controls"} & {*c.values[0]}
    ]
    arguments = replaced(line.values[0], data_root=real / "camvid")
    train = import_module("segsuite.train").main
    assert called(train, *arguments, *SMALL, f"paths.logs={real / 'logs'}") == 0
    (found,) = real.glob("logs/train/*/*/checkpoints/best.ckpt")
    return found


@pytest.mark.parametrize("arguments", said("train"))
def test_trainings_are_composed_and_their_arguments_fit(arguments, real, tmp_path, monkeypatch):
    class Reached(BaseException):
        pass

    def begun(run):
        run.config.run.id = "0123"
        training.check_arguments(run)
        raise Reached

    monkeypatch.setattr(training, "begin", begun)
    if "trainer.num_nodes=2" in arguments:  # by torchrun or srun
        monkeypatch.setattr("segsuite.engine.launch.settings.launched", lambda: ("torchrun", 16))
    if "resume=true" in arguments:
        (name,) = (a.split("=")[1] for a in arguments if a.startswith("experiment="))
        unfinished = tmp_path / "train" / name / "now" / "checkpoints" / "last.ckpt"
        unfinished.parent.mkdir(parents=True)
        unfinished.touch()
    if "data=folder" in arguments:
        arguments = replaced(arguments, data_root=real / "mine")
    with pytest.raises(Reached):
        called(import_module("segsuite.train").main, *arguments, f"paths.logs={tmp_path}")


@pytest.mark.parametrize("arguments", said("train", "data=folder"))
def test_ones_own_data_train(arguments, real, tmp_path):
    arguments = replaced(arguments, data_root=real / "mine")
    train = import_module("segsuite.train").main
    small = [a for a in SMALL if "expected" not in a]
    assert called(train, *arguments, *small, f"paths.logs={tmp_path}") == 0


@pytest.mark.parametrize("arguments", said("evaluate"))
def test_checkpoints_are_evaluated(arguments, checkpoint, tmp_path, capfd):
    arguments = [*replaced(arguments, ckpt_path=checkpoint), f"paths.logs={tmp_path}"]
    assert called(import_module("segsuite.evaluate").main, *arguments, "trainer=cpu") == 0
    assert "val/miou" in capfd.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("arguments", said("predict", "input=photos/"))
def test_photos_are_segmented(arguments, checkpoint, real, tmp_path):
    out = tmp_path / "out"
    given = replaced(arguments, ckpt_path=checkpoint, input=real / "photos", output=out)
    entry_point = import_module("segsuite.predict").main
    assert called(entry_point, *given, "device=cpu", f"paths.logs={tmp_path}") == 0
    assert len(list((out / "masks").iterdir())) == 10


@pytest.mark.parametrize("arguments", said("predict", "input=drive.mp4"))
def test_videos_are_segmented(arguments, checkpoint, tmp_path, capsys):
    av = pytest.importorskip("av")
    film(av, tmp_path / "drive.mp4", count=3)
    found = tmp_path / "found.mp4"
    given = replaced(arguments, ckpt_path=checkpoint, input=tmp_path / "drive.mp4", output=found)
    entry_point = import_module("segsuite.predict").main
    assert called(entry_point, *given, "device=cpu", f"paths.logs={tmp_path}") == 0
    assert found.stat().st_size > 500 and "frames" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", said("export"))
def test_exports_are_composed_with_what_the_checkpoint_holds(
    arguments, checkpoint, tmp_path, monkeypatch
):
    """The exporting itself is tested where its extras are asked for."""
    asked = []

    class Exported(BaseException):
        pass

    def noted(exporter, run, **_):
        asked.append((exporter, network_of(run)[0]))
        raise Exported

    monkeypatch.setattr("segsuite.exporting.export.Export.__call__", noted)
    given = replaced(arguments, ckpt_path=checkpoint)
    with pytest.raises(Exported):
        called(import_module("segsuite.export").main, *given, f"paths.logs={tmp_path}")
    ((exporter, network),) = asked
    assert network.num_classes == 11
    assert {"onnx", "onnx_int8"} == {wanted.name for wanted in exporter.chosen}


@pytest.mark.parametrize("arguments", said("benchmark"))
def test_comparisons_name_what_exists(arguments, tmp_path, monkeypatch):
    class Reached(BaseException):
        pass

    def measured(probe, **_):
        networks = getattr(probe, "networks", None)
        one = getattr(probe, "experiment", None) or getattr(probe, "method", None)
        named = [one] if networks is None else networks.experiments
        assert set(named) <= set(options("experiment"))
        raise Reached

    for probe in (CompareNetworks, CompareMemory, CompareRuntimes, JudgeControls, TryBudgets):
        monkeypatch.setattr(probe, "__call__", measured)
    with pytest.raises(Reached):
        called(import_module("segsuite.benchmark").main, *arguments, f"paths.logs={tmp_path}")


@pytest.mark.parametrize("arguments", said("check_data"))
def test_data_are_looked_at(arguments, real, tmp_path, capfd):
    folder = "mine" if "data=folder" in arguments else "camvid"
    arguments = replaced(arguments, data_root=real / folder)
    code = called(import_module("segsuite.check_data").main, *arguments, f"paths.logs={tmp_path}")
    out, err = capfd.readouterr()
    # The tiny CamVid is not all of it, which is what the entry point must find; the other is whole.
    assert code == (0 if folder == "mine" else 1), err
    assert out.splitlines()[-1].startswith('{"train"')


@pytest.mark.parametrize("arguments", said("choose"))
def test_budgets_reach_the_measurement_of_networks_that_exist(arguments, tmp_path, monkeypatch):
    class Reached(BaseException):
        pass

    def measured(costs, experiments, **_):
        assert set(experiments) <= set(options("experiment")) and len(experiments) == 20
        raise Reached

    monkeypatch.setattr("segsuite.choosing.costs.Costs.of", measured)
    with pytest.raises(Reached):
        called(import_module("segsuite.choose").main, *arguments, f"paths.logs={tmp_path}")


@pytest.mark.parametrize("arguments", said("report"))
def test_runs_are_compared(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (a for a in arguments if "=" not in a):
        made.training(Path(path) / "cts_vitb" / "now", miou=0.5, settings={"at": path})
    arguments = ["baseline=logs/train" if "baseline" in a else a for a in arguments]
    assert called(import_module("segsuite.report").main, *arguments) == 0
    (page,) = tmp_path.glob("logs/report/report/*/report.html")
    assert page.stat().st_size > 1e6


@pytest.mark.parametrize("arguments", said("tune"))
def test_searches_for_settings_ask_for_a_training(arguments, tmp_path, monkeypatch):
    pytest.importorskip("optuna")

    class Reached(BaseException):
        pass

    def asked(name, line, folder):
        assert name == "train" and any(a.startswith("method.optimizer.lr=0.0") for a in line)
        assert folder.parent == tmp_path / "sweeps" / "tune-quickstart"
        raise Reached

    monkeypatch.setattr("segsuite.engine.launch.trials.run_as_process", asked)
    with pytest.raises(Reached):
        called(import_module("segsuite.tune").main, *arguments, f"paths.logs={tmp_path}")


def test_the_calls_from_python_do_what_they_say(real, tmp_path, monkeypatch):
    (block,) = re.findall(r"<!-- python -->\n```python\n(.*?)```\n<!-- /python -->", TEXT, re.S)
    of_training = ("callbacks.speed=null", "data.cache=false")
    of_networks = ("size=[32,64]", "rounds=1", "warm_up=0", "images=1", "batch_sizes=[1]")
    more = {
        "compose": [*(a for a in SMALL if "expected" not in a), *of_training],
        "benchmark": [*of_networks, "device=cpu", "data.num_workers=0"],
    }
    for name, typed in more.items():  # the block as it stands, on small sizes
        call = getattr(api, name)
        monkeypatch.setattr(api, name, lambda *a, call=call, typed=typed: call(*a, *typed))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGSUITE_LOGS", raising=False)
    copy(real / "photos" / "0.jpg", "street.jpg")
    found: dict = {}
    exec(block, found)
    assert found["labels"].shape == (20, 30) and found["model"].network.num_classes == 19
    assert found["result"].own["steps"] == 1 and Path("overlay.png").exists()
    assert sorted(row["kind"] for row in found["table"]) == ["speed", "speed", "train"]


def test_every_command_is_tested_above():
    known = {
        "train",
        "evaluate",
        "predict",
        "benchmark",
        "check_data",
        "export",
        "choose",
        "report",
        "tune",
    }
    assert {parsed(command)[0] for command in commands()} <= known
    assert len(commands()) > 10


def test_ci_runs_the_very_command_for_tests():
    script = (ROOT / ".ci" / "run").read_text()
    (line,) = re.findall(r"^command=.*$", script, re.MULTILINE)
    line = ["bash", "-c", f'{line}; printf %s "$command"']
    found = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found == marked("test")
    assert 'bash -euo pipefail -c "$command"' in script
    assert "ruff check ." in script and "ruff format --check ." in script


def test_what_is_installed_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in ("quickstart", "test"):
        install, _, then = marked(name).partition(" && ")
        wanted = re.fullmatch(r"pip install -e (?:\.|'\.\[([\w,]+)\]')", install)
        assert set((wanted[1] or "").split(",")) <= {"", *extras["optional-dependencies"]}
        assert then.startswith("python -m ")


@pytest.mark.parametrize("group", choices())
def test_every_choice_exists_and_none_is_left_out(group):
    patterns, known = choices()[group], options(group)
    assert known, group
    for pattern in patterns:
        assert any(fnmatch(option, pattern) for option in known), f"there is no {group}={pattern}"
    for option in known:
        assert any(fnmatch(option, p) for p in patterns), f"{group}={option} is not mentioned"


def test_every_group_that_can_be_chosen_is_in_the_table():
    assert {"experiment", "data", "trainer", "logger", "debug", "inference"} <= set(choices())
    for pair in re.findall(r"\b(experiment|data|sweep|debug|inference|logger)=(\w+)", TEXT):
        assert (CONF / pair[0] / f"{pair[1]}.yaml").exists(), "=".join(pair)
    assert all(f"sweep={name}" in TEXT for name in options("sweep"))


def test_every_key_exists():
    configs = [composed(f"experiment={name}") for name in ("cts_dtop_vitt", "essnet_camvid_lite0")]
    dotted = [code for code in CODE if re.fullmatch(r"(method|data|trainer)\.[\w.]+", code)]
    plain = [code for code in CODE if code in ("seed", "ckpt_path", "init_from", "resume")]
    assert len(dotted) > 8 and len(plain) == 4
    for key in (*dotted, *plain):
        parent, _, leaf = key.rpartition(".")
        if as_today([f"{key}=1"], "train") == [f"++{key}=1"]:  # of losses, in no file
            assert parent == "method.loss"
            assert leaf in inspect.signature(PixelCrossEntropy).parameters, key
            continue
        parents = [OmegaConf.select(cfg, parent) if parent else cfg for cfg in configs]
        assert any(leaf in (its or {}) for its in parents), key


def test_every_file_exists():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    paths = [code for code in CODE if re.fullmatch(r"[\w/.]+\.(py|yaml|md|ipynb)", code)]
    assert len(paths) > 5
    folders = ("", "segsuite/methods/segvit/")  # where a sentence names several of one folder
    for name in (*[link for link in links if "://" not in link], *paths):
        assert any((ROOT / folder / name).exists() for folder in folders), name
