"""What a run's record says when it is resumed with another config."""

import pytest
from omegaconf import OmegaConf

from segsuite.engine.launch.record import differences, write_start

PART = {"_target_": "segsuite.methods.segvit.token_pruning.TokenPruning", "after": [6]}
FOREIGN = {"_target_": "torch.optim.SGD", "lr": 0.1}


@pytest.mark.parametrize(
    ("part", "added", "told"),
    [
        (PART, {"theta": 0.9}, []),  # what it is without being said
        (PART, {"theta": 0.8}, ["method.part.theta: absent -> 0.8"]),
        (PART, {"unknown": 3}, ["method.part.unknown: absent -> 3"]),
        (FOREIGN, {"momentum": 0}, ["method.part.momentum: absent -> 0"]),
        ({**PART, "theta": 0.8}, {"theta": 0.9}, ["method.part.theta: 0.8 -> 0.9"]),
    ],
)
def test_settings_that_came_into_the_suite_since_are_no_changes(tmp_path, part, added, told):
    write_start(tmp_path, OmegaConf.create({"method": {"part": part}}))
    now = OmegaConf.create({"method": {"part": {**part, **added}}})
    assert differences(tmp_path, now) == told


def test_a_run_that_goes_on_in_a_new_folder_is_compared_with_its_checkpoint(tmp_path):
    now = OmegaConf.create({"method": {"part": {"a": 1, "teacher": None}}, "ckpt_path": "a.ckpt"})
    then = {"method": {"part": {"a": 1, "teacher": "b.ckpt"}}, "ckpt_path": None}
    assert differences(tmp_path, now) == []
    told = ["method.part.teacher: b.ckpt -> None"]
    assert differences(tmp_path, now, checkpoint=then) == told
    write_start(tmp_path, now)
    assert differences(tmp_path, now, checkpoint=then) == [], "its own start counts for more"


def test_a_setting_that_others_refer_to_is_told_of_once(tmp_path):
    plain = {"a": {"lr": 1}, "task": {"optimizer": "${a}", "own": 1}}
    write_start(tmp_path, OmegaConf.create(plain))
    changed = OmegaConf.create({**plain, "a": {"lr": 2}})
    assert differences(tmp_path, changed) == ["a.lr: 1 -> 2"]
    elsewhere = OmegaConf.create({**plain, "b": {"lr": 2}, "task": {"optimizer": "${b}", "own": 1}})
    assert "task.optimizer.lr: 1 -> 2" in differences(tmp_path, elsewhere)
