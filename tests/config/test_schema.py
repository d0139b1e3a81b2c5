"""Constructors are the schema: what an argument may be is checked before anything is made."""

import inspect
import re
from typing import get_type_hints

import pytest
from omegaconf import OmegaConf

from segsuite.core.config import CONF
from segsuite.core.errors import ConfigError
from segsuite.core.targets import locate
from segsuite.engine.launch.run import Run
from segsuite.engine.training import check_arguments
from tests.config.composed import composed


def test_the_annotations_of_everything_in_conf_can_be_read():
    """What only type checkers can resolve is not checked, and ends in a traceback later."""
    files = [path.read_text() for path in CONF.rglob("*.yaml")]
    targets = set(re.findall(r"_target_: ([\w.]+)", "\n".join(files)))
    assert "segsuite.engine.task.SegmentationTask" in targets
    for target in targets:
        made = locate(target, "conf", ())
        get_type_hints(made.__init__ if inspect.isclass(made) else made, include_extras=True)


@pytest.fixture(scope="module")
def training():
    return composed("experiment=cts_dtop_vitt", "data=camvid", "inference=slide")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.train_transform.ratio_range", [2.0, 0.5], r"type data\.\S+_range=\[0\.5,2\.0\]"),
        ("data.train_transform.ratio_range", [1.0], "the least first"),
        ("data.train_transform.ratio_step", 0, "above 0"),
        ("data.train_transform.flip", 1.5, "0 to 1"),
        ("data.train_transform.fit", [512, 2048], r"type data\.\S+\.fit=\[2048,512\]"),
        ("data.train_transform.warp", [0, 512], "1 or more"),
        ("data.train_transform.pad_value", [300, 0, 0], "0 to 255"),
        ("data.train_transform.cat_max_ratio", 0, "above 0"),
        ("data.train_transform.photometric.contrast", [1.5, 0.5], "the least first"),
        ("data.train_transform.photometric.hue", -1, "0 to 90"),
        ("data.crop_size", [0, 256], "1 or more"),
        ("inference.window", [-64, 64], "1 or more"),
        ("method.optimizer", None, r"method\.optimizer=null"),
        ("method.task.loss", True, r"method\.task\.loss=true"),
        ("method.task.classes", 3, "leave it out"),
        ("method.schedule.power", float("inf"), r"method\.schedule\.power=inf"),
        ("method.schedule.power", float("nan"), r"method\.schedule\.power=nan"),
        ("method.groups", [3], r"method\.groups=\[3\]"),
        ("seed", 99999999999999999999, "seed=99999999999999999999"),
        ("trainer.benchmark", 2, r"trainer\.benchmark=2"),
        ("trainer.gradient_clip_algorithm", 3, r"trainer\.gradient_clip_algorithm=3"),
        ("trainer.profiler", float("inf"), "Profiler or text or null"),
        ("trainer.max_time", -1, r"trainer\.max_time=-1"),
    ],
)
def test_values_that_cannot_be_meant_are_named(training, key, value, said):
    cfg = training.copy()
    OmegaConf.update(cfg, key, value, force_add=True)
    with pytest.raises(ConfigError, match=said):
        check_arguments(Run(cfg))
