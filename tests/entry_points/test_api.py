"""Calls from Python do what entry points do, refuse what these refuse, and leave no trace."""

import json
import logging
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from segsuite import api
from segsuite.core.errors import ConfigError, DataError
from segsuite.core.results import read
from segsuite.core.seeding import capture
from segsuite.predict import main as predict_main
from segsuite.train import main as train_main
from tests.engine.entry_points import ROOT, SHORT, TOY, called, only

FLAGS = ("--config-dir", str(ROOT / "tests" / "conf"))
SEARCHED = f"hydra.searchpath=[file://{FLAGS[1]}]"
SMALL = (
    *(*TOY, *SHORT, "trainer.max_steps=2", "trainer.val_check_interval=2", "data.num_workers=0"),
    "trainer.log_every_n_steps=${.max_steps}",  # refers to nothing where overrides are listed
)


def process() -> tuple:
    """What a call may set for the whole process, and must put back."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    level = logging.getLogger("lightning.pytorch").level
    return handlers, level, torch.get_num_threads(), str(capture())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    random.seed(7)
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)
    before = process()
    result = api.train(SEARCHED, *SMALL, f"paths.logs={tmp_path_factory.mktemp('logs')}")
    assert process() == before
    return result


@pytest.fixture(scope="module")
def logs(trained) -> Path:
    return trained.folder.parents[2]


@pytest.fixture(scope="module")
def model(trained):
    return api.load(trained.checkpoint, "allow=[tests.]", device="cpu")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (21, 30, 3), np.uint8)


def test_a_training_gives_what_the_entry_point_gives(trained, tmp_path):
    assert called(train_main, *FLAGS, *SMALL, f"paths.logs={tmp_path}") == 0
    path = only(tmp_path, "train/toy/*/result.json")
    assert trained.own["metrics"] == json.loads(path.read_text())["metrics"]
    assert trained.metrics["test/miou"] == trained.own["optimized"] > 0
    assert read(trained.folder / "result.json") == trained.record
    assert trained.record.config[:-1] == [SEARCHED, *read(path).config[:-1]]
    files = {p.relative_to(path.parent) for p in path.parent.rglob("*") if p.suffix != ".log"}
    own = {p.relative_to(trained.folder) for p in trained.folder.rglob("*")}
    assert own == files - {Path(".hydra/hydra.yaml")}
    configs = [(f / ".hydra" / "config.yaml").read_text() for f in (path.parent, trained.folder)]
    assert all("seed: ${seed}" in config for config in configs), "references stay references"


def test_a_config_can_be_changed_and_trained(trained, logs):
    cfg = api.compose("train", SEARCHED, *SMALL, f"paths.logs={logs}", "seed=1")
    cfg.seed = 0
    result = api.train(cfg)
    assert result.metrics == trained.metrics and result.folder != trained.folder
    assert result.record.config == [*trained.record.config, "seed=1", "seed=0"]
    assert cfg.run.folder is None  # it can be trained again
    network = api.build(cfg, "method.network")
    assert isinstance(network, torch.nn.Module) and network.num_classes == 5


def test_what_is_loaded_predicts_what_the_entry_point_writes(trained, model, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.png")
    given = (f"ckpt_path={trained.checkpoint}", f"input={tmp_path / 'a.png'}", "device=cpu")
    assert called(predict_main, *given, f"output={tmp_path}", TOY[2], f"paths.logs={tmp_path}") == 0
    labels = api.predict(model, image)
    assert labels.shape == image.shape[:2] and len(np.unique(labels)) > 1
    written = {k: Image.open(tmp_path / k / "a.png") for k in ("masks", "overlays")}
    assert (np.asarray(written["masks"]) == model.classes.raw(labels)).all()
    picture = api.overlay(model, tmp_path / "a.png", labels)
    assert (np.asarray(written["overlays"]) == np.asarray(picture)).all()
    for same in (tmp_path / "a.png", Image.fromarray(image), torch.tensor(image).permute(2, 0, 1)):
        assert (api.predict(model, same) == labels).all()
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert (api.predict(model, image[..., 0]) == api.predict(model, grey)).all()
    assert not model.network.training and model.classes.names[0] == "class 0"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((4, 5, 3)), r"ndarray \(4, 5, 3\) of float64; give a path"),
        (np.zeros((3, 4, 5), np.uint8), r"ndarray \(3, 4, 5\)"),
        (torch.zeros(4, 5, 3, dtype=torch.uint8), r"Tensor \(4, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_image_is_refused(model, wrong, said):
    with pytest.raises(ConfigError, match=said):
        api.predict(model, wrong)


def test_images_and_labels_that_do_not_fit_are_refused(model, image, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        api.predict(model, tmp_path / "none.png")
    with pytest.raises(ConfigError, match=r"labels are \(30, 21\), and the image is \(21, 30\)"):
        api.overlay(model, image, np.zeros((30, 21), int))
    with pytest.raises(ConfigError, match="gives classes alone"):
        api.segments(model, image)


def test_an_evaluation_repeats_the_training(trained, logs):
    found = api.evaluate(trained.checkpoint, TOY[2], "trainer=cpu", f"paths.logs={logs}")
    assert found.metrics["val/miou"] == trained.metrics["test/miou"]
    assert found.checkpoint == trained.checkpoint and found.folder.parts[-3:-1] == (
        *("evaluate", "toy"),
    )


def test_a_benchmark_and_all_records_are_tables(trained, logs, capsys):
    given = ("data=scenes", "data.num_workers=0", "size=[32,48]", "images=1", "batch_sizes=[1,2]")
    typed = (f"checkpoints=[{trained.checkpoint}]", *given, "rounds=2", "warm_up=0", "device=cpu")
    found = api.benchmark(*typed, "accuracy.images=0", TOY[2], f"paths.logs={logs}")
    assert capsys.readouterr().out == ""
    rows = found.rows()
    assert [row["batch"] for row in rows] == [1, 2]
    assert rows[0]["gmacs"] > 0 and rows[0]["labels_ms.low"] <= rows[0]["labels_ms"]
    assert {"machine", "threads", "commit", "record", "checkpoint"} <= {*rows[0]}
    assert (found.folder / "breakdown.png").exists()
    with pytest.raises(ValueError, match="there are several"):
        _ = found.metrics
    table = api.records(logs / "benchmark", trained.folder, trained.folder / "result.json")
    assert table[:2] == rows and len(table) == 3, "each record once"
    assert table[2] == trained.rows()[0] and table[2]["trainer.max_steps"] == "2"
    assert table[2]["test/miou"] == trained.metrics["test/miou"]


def test_what_holds_no_record_is_told_and_left_out(trained, tmp_path, caplog):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "result.json").write_text('{"metrics": {}}')
    assert len(api.records(tmp_path, trained.folder)) == 1
    assert "left out" in caplog.text and "holds no record" in caplog.text
    with pytest.raises(ConfigError, match=r"there is no .*nowhere; give folders of runs"):
        api.records(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "typed",
    [
        "experiment=nope",  # while it is composed
        "resume=true",  # while its folder is looked for
        "trainer.max_steps=0",  # within
        "seed",
    ],
)
def test_mistakes_are_told_as_on_a_command_line(typed, tmp_path, capfd):
    given = (*SMALL, f"paths.logs={tmp_path / 'logs'}", typed)
    assert called(train_main, *FLAGS, *given) == 2
    said = capfd.readouterr().err.partition("segsuite: error: ")[2].strip()
    with pytest.raises(ConfigError) as error:
        api.train(SEARCHED, *given)
    assert str(error.value) == said.replace("\n", " ") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("-m", "`-m` is of the command line"),
        ("seed=0,1", "several values, and a call is one run"),
        ("trainer=ddp", "trainer.devices=-1: from Python there is one process"),
        (3, "3 is no override"),
        (OmegaConf.create({"seed": 0}), "this config is not one of segsuite.train"),
    ],
    ids=str,
)
def test_what_only_a_command_line_has_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        api.train(given)


def test_ranks_of_torchrun_are_refused_a_training(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun has started this 2 times: from Python"):
        api.train(SEARCHED, *SMALL)


def test_no_entry_point_of_another_name_is_composed():
    with pytest.raises(ConfigError, match="no entry point trane; did you mean `train`"):
        api.compose("trane")


def test_a_checkpoint_of_any_name_is_loaded_and_forgotten_with_its_call(trained, tmp_path):
    path = tmp_path / "windows=103,seed=1 of it.ckpt"  # as the folders of jobs are called
    path.symlink_to(trained.checkpoint)
    assert api.load(path, "allow=[tests.]", device="cpu").network.num_classes == 5
    assert "method" not in api.compose("predict", "ckpt_path=network.onnx")


def test_an_interrupt_saves_and_goes_on(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TOY_SIGNAL", f"1:{int(signal.SIGINT)}")
    given = (SEARCHED, *SMALL, "trainer.max_steps=4", f"paths.logs={tmp_path}")
    before = process()
    with pytest.raises(KeyboardInterrupt):
        api.train(*given)
    assert process() == before
    assert "interrupted; saved in" in capfd.readouterr().err
    monkeypatch.setenv("TOY_SIGNAL", "-1:0")
    result = api.train(*given, "resume=true")
    assert result.folder == only(tmp_path, "train/toy/*") and result.own["steps"] == 4
