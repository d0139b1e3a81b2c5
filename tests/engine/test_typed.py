"""What is typed reaches the config as it was meant, whatever signs are in it."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from segsuite.core.errors import ConfigError
from segsuite.engine.launch.entry_point import compose
from segsuite.engine.launch.rebuild import config_from_checkpoint
from segsuite.engine.launch.typed import as_text, mended
from segsuite.train import main as train
from tests.engine.entry_points import called

FOLDER = ("data=folder", "data.root=/mine", "data.num_classes=2")


def read(override: str) -> object:
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize(
    "path",
    [
        *("masks/{id}_L.png", "my masks/{id}.png", "a,b/{id}.png", "a=b/{id}.png"),
        *("copy (1)/{id}.png", "~/masks/{id}.png", "straße/{id}.png", "it's/{id}.png", "3.10"),
        *("2024_05_01", "1e3", "true", 'a "b"/{id}.png', "a\\b/{id}.png", "[1]{id}"),
    ],
)
def test_paths_arrive_as_they_were_typed(path):
    keys = ("data.reader.masks", "data.root", "init_from")
    cfg = compose("train", [*FOLDER, *(f"{key}={path}" for key in keys)])
    assert [OmegaConf.select(cfg, key) for key in keys] == [path] * len(keys)


def test_what_is_no_text_is_read_as_before():
    cfg = compose(
        "train",
        ["seed=3", "trainer.max_steps=5", "resume=true", "data.root=null", "trainer.devices=2"],
    )
    assert (cfg.seed, cfg.trainer.max_steps, cfg.resume) == (3, 5, True)
    assert cfg.data.root is None and cfg.trainer.devices == 2
    same = ["data.root='a b'", "data.crop_size=[64,64]", "name=plain", "~inference", "data=camvid"]
    assert as_text(same, "train") == same
    assert as_text(["data.reader.splits={train: 0.5, val: 0.5}"], "train") == [
        "data.reader.splits={train: 0.5, val: 0.5}"
    ]
    assert compose("train", [*FOLDER, "data.reader.splits.val=0.5"]).data.reader.splits.val == 0.5


def test_commas_of_a_sweep_stay_commas_and_its_values_text():
    sweep = ["-m", "seed=1,2", "name=3.10,b", "data.root=/a,/b", "init_from=a {1}.ckpt,b.ckpt"]
    assert as_text(sweep, "train") == [
        *("-m", "seed=1,2", 'name="3.10",b', "data.root=/a,/b"),
        'init_from="a {1}.ckpt",b.ckpt',
    ]


def test_lists_of_overrides_need_no_quotes_of_their_own():
    typed = [
        "overrides=[a.b=true,c.d=[1,2]]",
        "experiments=[one a.b='x y',two]",
        "checkpoints=[a=b]",
    ]
    cfg = compose("benchmark", typed)
    assert cfg.overrides == ["a.b=true", "c.d=[1,2]"]
    assert cfg.experiments == ["one a.b='x y'", "two"] and cfg.checkpoints == ["a=b"]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("+mine=[a=b,2]", ["a=b", 2]),
        ("data.reader.lengths={train: 4, val: a=b}", {"train": 4, "val": "a=b"}),
        ("seed=a=b", "a=b"),
        ("seed=it's {1}", "it's {1}"),
    ],
)
def test_what_cannot_be_read_is_shown_as_the_shell_takes_it(override, value):
    with pytest.raises(ConfigError, match="cannot be read as KEY=VALUE") as found:
        compose("train", [override])
    line = str(found.value).partition("; type ")[2]
    (pasted,) = shlex.split(line)
    assert read(pasted) == value and pasted == mended(override)


@pytest.mark.parametrize(
    "override", ["experiment=quickstart,", "seed=3, ", "data.crop_size=[64,32],"]
)
def test_a_last_comma_is_left_out(override):
    with pytest.raises(ConfigError) as found:
        compose("train", [override])
    (pasted,) = shlex.split(str(found.value).partition("; type ")[2])
    assert pasted == override.rstrip(", ")


def test_what_is_left_open_is_said():
    with pytest.raises(ConfigError, match="is a bracket or a quote left open"):
        compose("train", ["seed=[1"])


def test_several_values_are_shown_as_a_list_and_as_text(capfd, tmp_path):
    assert called(train, "data.crop_size=64,32", f"paths.logs={tmp_path}") == 2
    said = capfd.readouterr().err
    assert (
        "type -m before it for a run with each, 'data.crop_size=[64,32]' for a list of them" in said
    )
    assert """'data.crop_size="64,32"' for text""" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "path", ["a,b.ckpt", "a=b.ckpt", "a {1}.ckpt", "'quoted one.ckpt'", "0", "straße.ckpt"]
)
def test_checkpoints_are_named_as_they_were_typed(path):
    with pytest.raises(Exception, match="no checkpoint at ") as found:
        config_from_checkpoint(as_text([f"ckpt_path={path}"], "predict", composes=False))
    assert f"no checkpoint at {path.strip(chr(39))} (" in str(found.value)


def test_bytes_that_are_not_utf8_are_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="holds bytes that are not UTF-8"):
        as_text(["input=caf\udcc3.png"], "predict")


def test_what_is_asked_of_a_config_is_kept_unless_its_files_are_other_peoples(tmp_path):
    """A folder of one's own may have changed since; ours has not."""
    from segsuite.core.config import looked_at

    chosen = ("method=mobile", "data=scenes")
    assert looked_at("train", chosen) is looked_at("train", chosen)
    assert looked_at("evaluate", ()) is not looked_at("evaluate", ()), "of another checkpoint"
    (tmp_path / "method").mkdir()
    mine = tmp_path / "method" / "mine.yaml"
    theirs = (f"hydra.searchpath=[file://{tmp_path}]", "data=scenes", "method=mine")
    for value in (1, 2):
        mine.write_text(f"defaults: [mobile]\nnetwork: {{mine: {value}}}\n")
        assert looked_at("train", theirs).method.network.mine == value


@pytest.mark.parametrize("flags", [("-m", "--cfg", "job"), ("--multirun", "--info")])
def test_several_runs_have_no_one_config_to_show(flags, capfd):
    assert called(train, "experiment=quickstart", "seed=0,1", *flags) == 2
    assert "leave one out" in capfd.readouterr().err


def test_a_config_dir_may_stand_anywhere():
    """Hydra's parser refuses a flag between settings."""
    from segsuite.engine.launch.entry_point import _config_dir_first

    typed = ["a=1", "--config-dir", "some", "b=2", "-m"]
    assert _config_dir_first(typed) == ["--config-dir", "some", "a=1", "b=2", "-m"]
    assert _config_dir_first(["a=1", "--config-dir=some", "b=2"])[0] == "--config-dir=some"
    assert _config_dir_first(["a=1", "-cd"]) == ["-cd", "a=1"]
